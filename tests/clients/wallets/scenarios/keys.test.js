// Wallets that are keys: their signatures are judged by the gateway alone, and no node is asked.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { describe, test } from 'node:test'

import { bitcoin, CHAINS as BITCOIN_CHAINS } from '../families/bitcoin.js'
import { sui } from '../families/sui.js'
import { ethereumWallet, tronWallet } from '../families/tron.js'
import { assertBadSignature, assertSignedIn, asking, chains, ETHEREUM, grant, present, textFor } from './gateway.js'

const families = [
  { title: 'EVM', scheme: 'eip191', make: () => chains.keyPair(ETHEREUM), elsewhere: 'eip155:8453' },
  ...bitcoin.map(({ title, scheme, make }) => ({ title: `Bitcoin, ${title}`, scheme, make })),
  { title: 'Tron', scheme: 'tip191', make: tronWallet, elsewhere: 'tron:0x94a9059e' },
  ...sui.map(({ title, make }) => ({ title: `Sui, ${title}`, scheme: 'sui', make, elsewhere: 'sui:testnet' })),
]

for (const { title, scheme, make, elsewhere } of families) {
  describe(title, () => {
    test('is let in by its token, again and again, and no node is asked', async () => {
      const wallet = make()
      const text = textFor(wallet)
      const signature = await wallet.sign(text)
      for (const _ of ['cold', 'warm']) {
        const { answer, asked } = await asking(() => present(wallet, { text, signature }))
        assertSignedIn(answer, wallet, scheme)
        assert.deepEqual(asked, [])
      }
    })

    test('is refused with a signature of another text', async () => {
      const wallet = make()
      const text = textFor(wallet)
      const other = text.replace('Open the interface.', 'Open the interfaces')
      assert.notEqual(other, text)
      assertBadSignature(await present(wallet, { text, signature: await wallet.sign(other) }))
    })

    test('is refused with a signature of another wallet', async () => {
      const wallet = make()
      const text = textFor(wallet)
      assertBadSignature(await present(wallet, { text, signature: await make().sign(text) }))
    })

    // Bitcoin's addresses say which network they are of.
    if (elsewhere !== undefined) {
      test('is refused with a signature of its text for another chain', async () => {
        const wallet = make()
        const text = textFor(wallet)
        const other = textFor({ ...wallet, chain: elsewhere })
        assertBadSignature(await present(wallet, { text, signature: await wallet.sign(other) }))
        assertSignedIn(await present({ ...wallet, chain: elsewhere }), { ...wallet, chain: elsewhere }, scheme)
      })
    }

    test('opens what it was granted', async () => {
      const wallet = make()
      const answer = await present(wallet, { path: '/v1/data' })
      assert.deepEqual([answer.status, answer.body.code], [403, 'subscription_required'])
      await grant(`${wallet.chain}:${wallet.address}`)
      assert.equal((await present(wallet, { path: '/v1/data' })).status, 200)
    })
  })
}

describe('a chain that has several names', () => {
  for (const [name, same, make] of [
    ['tron:728126428', 'tron:0x2b6653dc', tronWallet],
    ['sui:35834a8a', 'sui:mainnet', sui[0].make],
  ]) {
    test(`${name} is told to the upstream as ${same}`, async () => {
      const wallet = make()
      assertSignedIn(await present({ ...wallet, chain: name }), { ...wallet, chain: same }, wallet.scheme)
    })
  }
})

describe('what only looks like a signature of its family is refused', () => {
  test("a Bitcoin address of the other network's chain", async () => {
    const { mainnet, testnet } = BITCOIN_CHAINS
    for (const { make } of bitcoin) {
      const wallet = make()
      assertBadSignature(await present({ ...wallet, chain: wallet.chain === mainnet ? testnet : mainnet }))
    }
  })

  test('a P2PKH header with the key that the address has in its other form', async () => {
    const rows = bitcoin.filter(({ type }) => type === 'p2pkh')
    assert.equal(rows.length, 4)
    for (const { make } of rows) {
      const wallet = make()
      const text = textFor(wallet)
      const bytes = Buffer.from(await wallet.sign(text), 'base64')
      bytes[0] += bytes[0] < 31 ? 4 : -4
      assertBadSignature(await present(wallet, { text, signature: bytes.toString('base64') }))
    }
  })

  test('a signature of Bitcoin in hex, without its padding, and with a byte too many', async () => {
    for (const { make } of bitcoin) {
      const wallet = make()
      const text = textFor(wallet)
      const bytes = Buffer.from(await wallet.sign(text), 'base64')
      const longer = Buffer.concat([bytes, Buffer.of(0)]).toString('base64')
      const padded = bytes.toString('base64')
      const unpadded = padded.replace(/=+$/, '')
      for (const signature of [bytes.toString('hex'), longer, ...(unpadded === padded ? [] : [unpadded])]) {
        assertBadSignature(await present(wallet, { text, signature }))
      }
    }
  })

  test('the simple form of BIP-322 may say its name', async () => {
    for (const { make } of bitcoin.filter(({ scheme }) => scheme === 'bip322')) {
      const wallet = make()
      const text = textFor(wallet)
      const signature = await wallet.sign(text)
      assertSignedIn(await present(wallet, { text, signature: `smp${signature}` }), wallet, 'bip322')
      assertBadSignature(await present(wallet, { text, signature: `ful${signature}` }))
    }
  })

  test("Tron with Ethereum's prefix, and Ethereum with Tron's", async () => {
    const wallet = tronWallet()
    const text = textFor(wallet)
    assertBadSignature(await present(wallet, { text, signature: await wallet.signAsEthereum(text) }))
    const key = ethereumWallet(ETHEREUM)
    const said = textFor(key)
    assertBadSignature(await present(key, { text: said, signature: await key.signAsTron(said) }))
    assertSignedIn(await present(key), key, 'eip191')
  })

  test("Sui with a transaction's intent", async () => {
    for (const { make } of sui) {
      const wallet = make()
      const text = textFor(wallet)
      assertBadSignature(await present(wallet, { text, signature: await wallet.signAsTransaction(text) }))
    }
  })

  test('a Sui signature whose key is of another curve than its flag says', async () => {
    for (const { make } of sui) {
      const wallet = make()
      const text = textFor(wallet)
      const bytes = Buffer.from(await wallet.sign(text), 'base64')
      for (const flag of [0, 1, 2, 3, 5, 255].filter((flag) => flag !== bytes[0])) {
        const signature = Buffer.concat([Buffer.of(flag), bytes.subarray(1)]).toString('base64')
        assertBadSignature(await present(wallet, { text, signature }))
      }
    }
  })

  test('a label of another family, or of none', async () => {
    for (const label of ['Ethereum', 'Bitcoin', 'Tron']) assertBadSignature(await present({ ...tronWallet(), label }))
  })
})

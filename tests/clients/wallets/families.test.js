// The wallets sign as their families do: what a second library says of every signature is yes, and no to one that is
// of another text or of another wallet.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { fieldsFor } from '../node/texts.js'
import { bitcoin, verifyBip137, verifyBitcoin } from './families/bitcoin.js'
import { sui, verifySui } from './families/sui.js'
import { tronWallet, verifyTron } from './families/tron.js'
import { write } from './texts.js'

/** A text with more than one byte to some letters, whose count of bytes has three digits. */
const textOf = (wallet) => `${write(wallet, fieldsFor('https://app.example'))}\n- https://app.example/ü`

const rows = [
  ...bitcoin.map(({ title, make }) => ({ title: `Bitcoin, ${title}`, make, verify: verifyBitcoin })),
  ...bitcoin
    .filter(({ type, scheme }) => scheme === 'bip137' && type !== 'p2tr')
    .map(({ title, make }) => ({ title: `Bitcoin, ${title}, by bitcoinjs-message`, make, verify: verifyBip137 })),
  { title: 'Tron', make: tronWallet, verify: verifyTron },
  ...sui.map(({ title, make }) => ({ title: `Sui, ${title}`, make, verify: verifySui })),
]

for (const { title, make, verify } of rows) {
  test(title, async () => {
    const wallet = make()
    const text = textOf(wallet)
    const signature = await wallet.sign(text)
    assert.equal(await verify(wallet, text, signature), true)
    assert.equal(await verify(wallet, `${text}.`, signature), false)
    assert.equal(await verify(make(), text, signature), false)
  })
}

describe('what must be refused is signed as it says', () => {
  test("Tron with Ethereum's prefix", async () => {
    const wallet = tronWallet()
    assert.equal(await verifyTron(wallet, 'hello', await wallet.signAsEthereum('hello')), false)
  })

  for (const { title, make } of sui) {
    test(`Sui, ${title}, with a transaction's intent`, async () => {
      const wallet = make()
      assert.equal(await verifySui(wallet, 'hello', await wallet.signAsTransaction('hello')), false)
    })
  }
})

test('every type of Bitcoin address has the letters of its network', () => {
  const begins = { p2pkh: /^(1|[mn])/, 'p2sh-p2wpkh': /^(3|2)/, p2wpkh: /^(bc1q|tb1q)/, p2tr: /^(bc1p|tb1p)/ }
  for (const { type, make } of bitcoin) {
    const { address, chain } = make()
    const mainnet = /^(1|3|bc1)/.test(address)
    assert.match(address, begins[type])
    assert.equal(chain, mainnet ? 'bip122:000000000019d6689c085ae165831e93' : 'bip122:000000000933ea01ad0ee984209779ba')
  }
})

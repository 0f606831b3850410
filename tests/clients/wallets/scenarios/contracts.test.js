// Wallets that are contracts: the gateway asks the node of their chain, and believes exactly what the contract says.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { zeroAddress } from 'viem'

import { assertRefused } from '../../node/verdicts.js'
import { newKey, wrap } from '../families/evm.js'
import {
  allCalls,
  assertBadSignature,
  assertSignedIn,
  assertUnavailable,
  asking,
  BASE,
  chains,
  DEADLINE_MILLIS,
  ETHEREUM,
  grant,
  newcomer,
  OPTIMISM,
  POLYGON,
  present,
  textFor,
  timed,
  YES_MILLIS,
  ZKSYNC,
} from './gateway.js'

/** What an address may ask at once: `chains.eip155.rpc_per_ip`. */
const BURST = 20

const DOORS = { [ETHEREUM]: 'ethereum', [BASE]: 'base', [ZKSYNC]: 'zksync' }

/** Asserts that a wallet is refused, and that it was the node of its chain that said so. */
async function assertRefusedByContract(wallet, presented = {}) {
  const { answer, asked } = await asking(() => present(wallet, presented))
  assertBadSignature(answer)
  assert.deepEqual(asked, [DOORS[wallet.chain]])
}

/** What each kind of wallet has to do, on both chains. `others` are signatures that are not its own. */
const kinds = [
  {
    title: 'a contract of one owner',
    scheme: 'eip1271',
    make: (chain) => chains.owned(chain),
    others: async (_wallet, text) => [await newKey().signMessage({ message: text })],
  },
  {
    title: 'a Safe of two owners',
    scheme: 'eip1271',
    make: (chain) => chains.multisig(chain),
    others: async (wallet, text) => {
      const [first, second] = wallet.owners
      return [
        await wallet.signBy([first], text),
        await wallet.signBy([second, first], text),
        await wallet.signBy([first, newKey()], text),
        await wallet.signBy([first, second], text, { chain: wallet.chain === BASE ? ETHEREUM : BASE }),
        await wallet.signBy([first, second], text, { address: first.address }),
        await first.signMessage({ message: text }),
        '0x',
      ]
    },
  },
  {
    title: 'a contract that is not there yet',
    scheme: 'eip6492',
    make: (chain) => chains.counterfactual(chain),
    others: async (wallet, text) => {
      const elsewhere = { ...wallet.make, factory: await chains.deploy(wallet.chain, 'Elsewhere') }
      const nobody = { ...wallet.make, factory: newKey().address }
      return [
        await wallet.signBare(text),
        await wallet.signBy(newKey(), text),
        await wallet.signBy(wallet.owner, text, elsewhere),
        await wallet.signBy(wallet.owner, text, nobody),
        wrap(wallet.make, await wallet.sign(text)),
      ]
    },
  },
  {
    title: 'a key whose account runs code, by the code',
    scheme: 'eip1271',
    make: (chain) => chains.delegated(chain),
    others: async (wallet, text) => [(await wallet.sign(text)).replace('0x01', '0x02')],
  },
]

for (const { title, scheme, make, others } of kinds) {
  for (const chain of [ETHEREUM, BASE]) {
    describe(`${title}, on ${chain}`, () => {
      test('is let in, and its node is asked once while the yes is remembered', async () => {
        const wallet = await make(chain)
        const text = textFor(wallet)
        const signature = await wallet.sign(text)
        const first = await asking(() => present(wallet, { text, signature }))
        assertSignedIn(first.answer, wallet, scheme)
        assert.deepEqual(first.asked, [DOORS[chain]])
        const { answer, millis } = await timed(() => asking(() => present(wallet, { text, signature })))
        assertSignedIn(answer.answer, wallet, scheme)
        if (millis < YES_MILLIS / 2) assert.deepEqual(answer.asked, [], 'a yes is remembered')
      })

      test('is refused with a signature of another text', async () => {
        const wallet = await make(chain)
        const text = textFor(wallet)
        await assertRefusedByContract(wallet, { text, signature: await wallet.sign(`${text}.`) })
      })

      test('is refused with signatures that are not its own', async () => {
        const wallet = await make(chain)
        const text = textFor(wallet)
        for (const signature of await others(wallet, text)) {
          await assertRefusedByContract(wallet, { text, signature })
        }
      })

      test('is refused on a chain where it is not', async () => {
        const wallet = await make(chain)
        await assertRefusedByContract({ ...wallet, chain: chain === BASE ? ETHEREUM : BASE })
      })

      test('is told to the upstream in canonical spelling', async () => {
        const wallet = await make(chain)
        const text = textFor(wallet).replace(wallet.address, wallet.address.toLowerCase())
        assertSignedIn(await present(wallet, { text }), wallet, scheme)
      })

      test('opens what it was granted on its chain', async () => {
        const wallet = await make(chain)
        assertRefused(await present(wallet, { path: '/v1/data' }), 403, 'subscription_required')
        await grant(`${chain}:${wallet.address}`)
        assertSignedIn(await present(wallet, { path: '/v1/data' }), wallet, scheme, { 'x-siwx-plan': ['default'] })
      })
    })
  }
}

describe('one address on two chains', () => {
  test('belongs to whom its chain says', async () => {
    const deployer = newKey()
    const here = await chains.owned(ETHEREUM, { deployer })
    const there = await chains.owned(BASE, { deployer })
    assert.equal(here.address, there.address)
    assertSignedIn(await present(here), here, 'eip1271')
    assertSignedIn(await present(there), there, 'eip1271')
    const text = textFor(there)
    await assertRefusedByContract(there, { text, signature: await here.sign(text) })
  })

  test('what a contract was granted on one is not had by that of the other', async () => {
    const deployer = newKey()
    const here = await chains.owned(ETHEREUM, { deployer })
    const there = await chains.owned(BASE, { deployer })
    await grant(`${ETHEREUM}:${here.address}`)
    assert.equal((await present(here, { path: '/v1/data' })).status, 200)
    assertRefused(await present(there, { path: '/v1/data' }), 403, 'subscription_required')
    await grant(`${BASE}:${there.address}`)
    assert.equal((await present(there, { path: '/v1/data' })).status, 200)
    assert.equal((await present(here, { path: '/v1/data' })).status, 200)
  })

  test('what was granted without naming one is had by the contracts of both', async () => {
    const deployer = newKey()
    const here = await chains.owned(ETHEREUM, { deployer })
    const there = await chains.owned(BASE, { deployer })
    await grant(here.address)
    assert.equal((await present(here, { path: '/v1/data' })).status, 200)
    assert.equal((await present(there, { path: '/v1/data' })).status, 200)
  })

  test('what a key was granted on one is had on the other', async () => {
    const wallet = chains.keyPair(ETHEREUM)
    await grant(`${ETHEREUM}:${wallet.address}`)
    assert.equal((await present(wallet, { path: '/v1/data' })).status, 200)
    assert.equal((await present({ ...wallet, chain: BASE }, { path: '/v1/data' })).status, 200)
  })

  test('what a key was granted on one is not had by code that another signs for', async () => {
    const wallet = await chains.delegated(ETHEREUM)
    await grant(`${BASE}:${wallet.address}`)
    assertRefused(await present(wallet, { path: '/v1/data' }), 403, 'subscription_required')
    const text = textFor(wallet)
    assert.equal((await present(wallet, { text, signature: await wallet.signByKey(text), path: '/v1/data' })).status, 200)
  })
})

describe('a text that a Safe has approved on its chain', () => {
  test('needs no signature, from then on', async () => {
    const wallet = await chains.multisig(ETHEREUM)
    const text = textFor(wallet)
    await assertRefusedByContract(wallet, { text, signature: '0x' })
    const approved = textFor(wallet)
    await wallet.approve(approved)
    assertSignedIn(await present(wallet, { text: approved, signature: '0x' }), wallet, 'eip1271')
  })

  test('an empty signature is no key pair’s, and no other contract’s', async () => {
    for (const wallet of [chains.keyPair(ETHEREUM), await chains.owned(ETHEREUM)]) {
      await assertRefusedByContract(wallet, { signature: '0x' })
    }
  })
})

describe('a contract that comes to be', () => {
  test('needs its wrapping until then, and takes both from then on', async () => {
    const wallet = await chains.counterfactual(BASE)
    const bare = async () => {
      const text = textFor(wallet)
      return present(wallet, { text, signature: await wallet.signBare(text) })
    }
    assertBadSignature(await bare())
    assertSignedIn(await present(wallet), wallet, 'eip6492')
    assertBadSignature(await bare())
    await wallet.deploy()
    assertSignedIn(await bare(), wallet, 'eip1271')
    assertSignedIn(await present(wallet), wallet, 'eip6492')
  })
})

describe('a signature that makes much of little', () => {
  test('is given to the contract whole, up to what a credential may have', async () => {
    const wallet = await chains.counterfactual(BASE)
    const text = textFor(wallet)
    // What follows the arguments of a call is nothing to the factory.
    const padded = (bytes) => ({ ...wallet.make, calldata: `${wallet.make.calldata}${'00'.repeat(bytes)}` })
    const signature = await wallet.signBy(wallet.owner, text, padded(6 << 10))
    assertSignedIn(await present(wallet, { text, signature }), wallet, 'eip6492')
    const { answer, asked } = await asking(async () =>
      present(wallet, { text, signature: await wallet.signBy(wallet.owner, text, padded(9 << 10)) }),
    )
    // One header value holds no more than 16 KiB (hardening.md section 2), and the head is refused before it is read.
    assert.deepEqual([answer.status, asked], [431, []], JSON.stringify(answer.body))
  })
})

describe('the same token from many at once', () => {
  test('is one question', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const text = textFor(wallet)
    const signature = await wallet.sign(text)
    const many = () => Promise.all(Array.from({ length: 20 }, () => present(wallet, { text, signature })))
    const { answer, millis } = await timed(() => asking(many))
    for (const each of answer.answer) assertSignedIn(each, wallet, 'eip1271')
    if (millis < YES_MILLIS) assert.deepEqual(answer.asked, ['ethereum'])
  })
})

describe('a key whose account runs code', () => {
  for (const to of ['Delegate', 'Mute']) {
    test(`is let in by its key without a node, whatever the code is: ${to}`, async () => {
      const wallet = await chains.delegated(ETHEREUM, { to })
      const text = textFor(wallet)
      const signature = await wallet.signByKey(text)
      const { answer, asked } = await asking(() => present(wallet, { text, signature }))
      assertSignedIn(answer, wallet, 'eip191')
      assert.deepEqual(asked, [])
    })
  }

  test('is refused by code that knows nothing of signatures', async () => {
    await assertRefusedByContract(await chains.delegated(ETHEREUM, { to: 'Mute' }))
  })
})

describe('what no contract can vouch for', () => {
  test('a wrapped signature of a key pair', async () => {
    const wallet = chains.keyPair(ETHEREUM)
    const { make } = await chains.counterfactual(ETHEREUM)
    const text = textFor(wallet)
    await assertRefusedByContract(wallet, { text, signature: wrap(make, await wallet.sign(text)) })
  })

  test('the zero account, with what makes the validator say yes', async () => {
    const { make } = await chains.counterfactual(ETHEREUM)
    const wallet = { label: 'Ethereum', chain: ETHEREUM, address: zeroAddress }
    const malformed = `0x${'00'.repeat(64)}1b`
    const { answer, asked } = await asking(async () => {
      assertBadSignature(await present(wallet, { signature: wrap(make, malformed) }))
      return present(wallet, { signature: malformed })
    })
    assertBadSignature(answer)
    assert.deepEqual(asked, [])
  })

  for (const name of ['Dirty', 'Yes', 'Mute', 'Burner']) {
    test(`a contract that does not say exactly yes: ${name}`, async () => {
      const wallet = await chains.odd(BASE, name)
      const { millis } = await timed(() => assertRefusedByContract(wallet))
      assert.ok(millis < DEADLINE_MILLIS, `it took ${millis} ms`)
    })
  }

  test('a contract that says yes, and a megabyte more', async () => {
    const wallet = await chains.odd(BASE, 'Verbose')
    const { answer, asked } = await asking(() => present(wallet))
    assertUnavailable(answer)
    assert.deepEqual(asked, ['base', 'base-spare'])
  })

  test('a factory that burns all gas, within the deadline', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    const factory = await chains.deploy(ETHEREUM, 'Burner')
    const text = textFor(wallet)
    const signature = await wallet.signBy(wallet.owner, text, { ...wallet.make, factory })
    const { millis } = await timed(() => assertRefusedByContract(wallet, { text, signature }))
    assert.ok(millis < DEADLINE_MILLIS, `it took ${millis} ms`)
  })

  test('a factory that burns all gas, of a wallet that is there: its owner alone is let in', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    await wallet.deploy()
    const burner = { ...wallet.make, factory: await chains.deploy(ETHEREUM, 'Burner') }
    const text = textFor(wallet)
    assertSignedIn(await present(wallet, { text, signature: await wallet.signBy(wallet.owner, text, burner) }), wallet, 'eip6492')
    await assertRefusedByContract(wallet, { text, signature: await wallet.signBy(newKey(), text, burner) })
  })

  test('the magic word of a wrapping around nothing', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    for (const body of ['', '00'.repeat(32), 'ff'.repeat(96)]) {
      assertBadSignature(await present(wallet, { signature: `0x${body}${'6492'.repeat(16)}` }))
    }
  })

  test('a signature that would delegate first', async () => {
    const wallet = chains.keyPair(ETHEREUM)
    const { answer, asked } = await asking(() => present(wallet, { signature: `0x${'00'.repeat(64)}${'8010'.repeat(16)}` }))
    assertBadSignature(answer)
    assert.deepEqual(asked, [])
  })
})

describe('chains', () => {
  test('one that runs no code which is not deployed: its validator is asked', async () => {
    for (const [wallet, scheme] of [
      [await chains.counterfactual(ZKSYNC), 'eip6492'],
      [await chains.owned(ZKSYNC), 'eip1271'],
    ]) {
      const text = textFor(wallet)
      const { answer, asked } = await asking(() => present(wallet, { text }))
      assertSignedIn(answer, wallet, scheme)
      assert.deepEqual(asked, ['zksync'])
      await assertRefusedByContract(wallet, { text, signature: await wallet.sign(`${text}.`) })
    }
  })

  test('one without a node: a contract cannot be asked, and no other chain is', async () => {
    const wallet = { ...(await chains.owned(ETHEREUM)), chain: POLYGON }
    const { answer, asked } = await asking(() => present(wallet))
    assertBadSignature(answer)
    assert.deepEqual(asked, [])
    const key = { ...chains.keyPair(ETHEREUM), chain: POLYGON }
    assertSignedIn(await present(key), key, 'eip191')
  })

  test("one whose endpoint is another chain's: its contracts are not asked", async () => {
    const wallet = { ...(await chains.owned(ETHEREUM)), chain: OPTIMISM }
    for (const _ of ['first', 'again']) {
      const { answer, asked } = await asking(() => present(wallet))
      assertUnavailable(answer)
      assert.deepEqual(asked, [])
    }
    assert.ok((await allCalls()).some(({ door, method }) => door === 'optimism' && method === 'eth_chainId'))
    const key = { ...chains.keyPair(ETHEREUM), chain: OPTIMISM }
    assertSignedIn(await present(key), key, 'eip191')
  })
})

describe('the budget of an address', () => {
  test('ends, for contracts alone and for that address alone', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const from = newcomer()
    // More than may be asked at once, each with a text of its own. One comes back every second.
    const answers = await Promise.all(Array.from({ length: 60 }, () => present(wallet, { from })))
    const over = answers.filter(({ status }) => status !== 200)
    assert.ok(over.length > 0 && over.length <= 60 - BURST, `expected some of 60 over a budget of ${BURST}, found ${over.length}`)
    for (const answer of over) {
      assertRefused(answer, 429, 'rate_limited')
      assert.match(answer.headers['retry-after'], /^[1-9][0-9]*$/)
    }
    const key = chains.keyPair(ETHEREUM)
    assertSignedIn(await present(key, { from }), key, 'eip191')
    assertSignedIn(await present(wallet), wallet, 'eip1271')
  })
})

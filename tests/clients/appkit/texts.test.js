// The module writes what AppKit writes: the published texts, and those of the messenger that it stands in for.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, beforeEach, describe, mock, test } from 'node:test'

import { BASE, ETHEREUM, SOLANA, importModule, openPage, startGateway } from './dapp.js'

const vectors = JSON.parse(readFileSync(new URL('../../vectors/siwx-appkit-messages.json', import.meta.url), 'utf8'))
const plain = (value) => JSON.parse(JSON.stringify(value))

let gateway, createSIWX, createSIWE, siwx
const appkit = {}

before(async () => {
  gateway = await startGateway()
  const module = await importModule(gateway.url)
  openPage()
  ;({ createSIWX, createSIWE } = module)
  Object.assign(appkit, await import('@reown/appkit-siwx'), await import('@reown/appkit-controllers'))
  Object.assign(appkit, { formatMessage: (await import('@walletconnect/utils')).formatMessage })
})

after(() => gateway.close())

beforeEach(() => mock.timers.reset())

/** A module whose gateway gives this nonce and nothing else. */
function withNonce(nonce, options) {
  globalThis.fetch = async () => new Response(JSON.stringify({ nonce }))
  return createSIWX({ gateway: 'https://gateway.example', ...options })
}

describe('the texts of the vectors', () => {
  assert.equal(vectors.cases.length, vectors.count)
  const cases = vectors.cases.filter(({ source }) => source === 'appkit InformalMessenger')

  test(`are ${cases.length} of ${vectors.count}; the others are written by wallets`, () => assert.equal(cases.length, 13))

  for (const { id, data, message } of cases) {
    test(id, async () => {
      const { accountAddress, chainId, nonce, issuedAt, notBefore, expirationTime, requestId, domain, uri, statement, resources } = data
      const label = /in with your (.*) account:$/.exec(message.split('\n')[0])[1]
      const begins = Date.parse(notBefore ?? issuedAt)
      mock.timers.enable({ apis: ['Date'], now: Date.parse(issuedAt) })
      siwx = withNonce(nonce, {
        ...{ domain, uri, statement, resources },
        networks: label === 'EVM Networks' ? [] : [{ caipNetworkId: chainId, name: label }],
        expiration: expirationTime && Date.parse(expirationTime) - begins,
        getRequestId: requestId && (async () => requestId),
        clearChainIdNamespace: id === 'evm-clear-namespace',
      })
      const made = await siwx.createMessage({ accountAddress, chainId, notBefore })
      assert.equal(made.toString(), message)
      assert.deepEqual(plain(made), data)
    })
  }
})

describe('beside AppKit itself', () => {
  test('the texts are the same, whatever is said in them', async () => {
    const networks = [ETHEREUM, BASE, SOLANA]
    const inputs = [
      ...[ETHEREUM, BASE, SOLANA].map(({ caipNetworkId }) => ({ chainId: caipNetworkId, accountAddress: '0xAb' })),
      { chainId: 'eip155:999', accountAddress: '' },
      { chainId: 'bip122:000000000019d6689c085ae165831e93', accountAddress: '<<AccountAddress>>' },
      { chainId: 'ton:-239', accountAddress: 'EQ', notBefore: '2026-11-20T10:30:00Z' },
    ]
    const choices = [
      {},
      { statement: 'Sign in.' },
      { statement: '' },
      { resources: ['https://a.example/x', 'ipfs://bafy'], expiration: 3600_000 },
      { resources: [], getRequestId: async () => 'r-1', clearChainIdNamespace: true },
    ]
    mock.timers.enable({ apis: ['Date'], now: Date.parse('2026-11-20T10:00:00Z') })
    appkit.ChainController.initialize([{ namespace: 'eip155' }, { namespace: 'solana' }], networks, {})
    let compared = 0
    for (const options of choices) {
      const params = { domain: 'dapp.example.test', uri: 'https://dapp.example.test/app?tab=1#top', ...options }
      const theirs = new appkit.InformalMessenger({ ...params, getNonce: async () => 'Kx8nQ2vLw7Tz' })
      siwx = withNonce('Kx8nQ2vLw7Tz', { ...options, networks })
      for (const input of inputs) {
        const [mine, expected] = [await siwx.createMessage(input), await theirs.createMessage(input)]
        assert.equal(mine.toString(), expected.toString())
        assert.deepEqual(plain(mine), plain(expected))
        compared++
      }
    }
    assert.equal(compared, 30)
  })

  test('without a list of networks the label is the one that wallets look for', async () => {
    siwx = withNonce('Kx8nQ2vLw7Tz', {})
    const made = await siwx.createMessage({ chainId: 'eip155:8453', accountAddress: '0xAb' })
    assert.match(made.toString(), /^dapp\.example\.test wants you to sign in with your Ethereum account:\n0xAb\n\nURI: /)
  })

  test('the text for siweConfig is that of EIP-4361', () => {
    const siwe = createSIWE({ gateway: 'https://gateway.example' })
    const address = 'did:pkh:eip155:8453:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11'
    const said = {
      ...{ domain: 'dapp.example.test', uri: 'https://dapp.example.test/', version: '1', nonce: 'Kx8nQ2vLw7Tz' },
      ...{ iat: '2026-11-20T10:00:00.000Z', chainId: 8453, address },
    }
    for (const more of [{ statement: 'Sign in.' }, { statement: 'Sign in.', resources: ['https://a.example/x'], requestId: 'r1', exp: '2026-11-20T11:00:00.000Z', nbf: '2026-11-20T10:00:00.000Z' }]) {
      const { address: iss, ...rest } = { ...said, ...more }
      const expected = appkit.formatMessage({ ...rest, aud: rest.uri }, iss)
      assert.equal(siwe.createMessage({ ...said, ...more }), expected)
    }
    assert.match(siwe.createMessage(said), /Abc11\n\n\nURI: /, 'two empty lines without a statement')
  })

  test('a message is for the page as it is when it is made', async () => {
    siwx = withNonce('Kx8nQ2vLw7Tz', {})
    openPage('/later')
    const made = await siwx.createMessage({ chainId: 'eip155:1', accountAddress: '0xAb' })
    assert.equal(made.uri, 'https://dapp.example.test/later')
  })

  test('where there is no page, nothing is signed for an unknown one', async () => {
    siwx = withNonce('Kx8nQ2vLw7Tz', {})
    delete globalThis.location
    await assert.rejects(siwx.createMessage({ chainId: 'eip155:1', accountAddress: '0xAb' }), /there is no page/)
    openPage()
  })
})

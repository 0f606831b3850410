// AppKit's own class for Reown's hosted service, pointed at the gateway (sessions.md section 3).

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'

import { BASE, Browser, ETHEREUM, SOLANA, evmWallet, openPage, solanaWallet, startGateway } from './dapp.js'

const fetch = globalThis.fetch
const NETWORKS = [ETHEREUM, BASE, SOLANA]
const error = console.error

let gateway, GatewayAuthentication, SIWXUtil, OptionsController
let startAppKit, connect, shown
let browser, siwx, wallet

before(async () => {
  gateway = await startGateway()
  openPage()
  const { ConstantsUtil } = await import('@reown/appkit-common')
  const { ReownAuthentication } = await import('@reown/appkit-siwx')
  ;({ SIWXUtil, OptionsController } = await import('@reown/appkit-controllers'))
  ;({ startAppKit, connect, shown } = await import('./appkit.js'))

  // What a dapp writes: the class builds its URL before it first waits.
  GatewayAuthentication = class extends ReownAuthentication {
    request(asked) {
      const hosted = ConstantsUtil.W3M_API_URL
      ConstantsUtil.W3M_API_URL = gateway.url
      try {
        return super.request(asked)
      } finally {
        ConstantsUtil.W3M_API_URL = hosted
      }
    }
  }
  OptionsController.state.projectId = '00000000000000000000000000000000'
  console.error = () => {}
})

after(() => {
  console.error = error
  return gateway.close()
})

beforeEach(() => {
  localStorage.clear()
  browser = new Browser(gateway.url, fetch)
  browser.open()
  siwx = new GatewayAuthentication()
  wallet = evmWallet()
  startAppKit(siwx, NETWORKS, wallet)
})

async function signIn() {
  await SIWXUtil.initializeIfEnabled()
  await SIWXUtil.requestSignMessage()
  assert.deepEqual(shown, ['SIWXSignMessage', 'SIWX_AUTH_SUCCESS'])
  shown.length = 0
}

const token = () => localStorage.getItem('@appkit/siwx-auth-token')
const claims = () => JSON.parse(Buffer.from(token().split('.')[1], 'base64url').toString('utf8'))

describe('signing in', () => {
  test('gives a token with the claims that AppKit reads', async () => {
    await signIn()
    const { address, chainId, chainNamespace, caip2Network, domain, exp } = claims()
    assert.equal(address.toLowerCase(), wallet.address.toLowerCase())
    assert.deepEqual([chainId, chainNamespace, caip2Network, domain], [1, 'eip155', 'eip155:1', 'dapp.example.test'])
    assert.ok(exp > Date.now() / 1000)
    assert.equal(await SIWXUtil.isAuthenticated(), true)
    assert.ok(!browser.signedIn, 'without a cookie')
  })

  test('of Solana names its chain by reference', async () => {
    wallet = solanaWallet()
    startAppKit(siwx, [SOLANA], wallet)
    await signIn()
    assert.deepEqual([claims().chainId, claims().caip2Network], ['5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', SOLANA.caipNetworkId])
    assert.equal(await SIWXUtil.isAuthenticated(), true)
  })

  test('tells listeners', async () => {
    const heard = []
    siwx.on('sessionChanged', (session) => heard.push(session?.data.accountAddress))
    await signIn()
    await siwx.revokeSession('eip155:1', wallet.address)
    assert.deepEqual(heard, [wallet.address, undefined])
  })

  test('with a nonce token that is missing is refused with a plain sentence', async () => {
    const made = await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })
    const message = made.toString()
    const signature = await wallet.sign(message)
    localStorage.clear()
    await assert.rejects(siwx.addSession({ data: made, message, signature }), (error) => {
      assert.match(error.message, /nonce/)
      assert.ok(!error.message.startsWith('{'), 'text, not JSON')
      return true
    })
    assert.equal(token(), null)
  })

  test('with a nonce token of another message is refused', async () => {
    const made = await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })
    const message = made.toString()
    const signature = await wallet.sign(message)
    await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })
    await assert.rejects(siwx.addSession({ data: made, message, signature }), /nonce/)
  })

  test('twice with one message is refused', async () => {
    const made = await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })
    const message = made.toString()
    const session = { data: made, message, signature: await wallet.sign(message) }
    await siwx.addSession(session)
    await assert.rejects(siwx.addSession(session), /nonce/)
  })

  test('with a signature of somebody else is refused', async () => {
    startAppKit(siwx, NETWORKS, { ...wallet, sign: evmWallet().sign })
    await SIWXUtil.requestSignMessage()
    assert.ok(shown.includes('SIWX_AUTH_ERROR'))
    assert.equal(token(), null)
  })
})

describe('being signed in', () => {
  test('ends with another network or account, which asks anew', async () => {
    await signIn()
    connect(BASE, wallet)
    assert.equal(await SIWXUtil.isAuthenticated(), false)
    connect(ETHEREUM, evmWallet())
    assert.equal(await SIWXUtil.isAuthenticated(), false)
    connect(ETHEREUM, wallet)
    assert.equal(await SIWXUtil.isAuthenticated(), true)
  })

  test('ends with a token that is not the gateway’s', async () => {
    await signIn()
    localStorage.setItem('@appkit/siwx-auth-token', `${token().split('.').slice(0, 2).join('.')}.AAAA`)
    assert.equal(await SIWXUtil.isAuthenticated(), false)
  })

  test('shows the account, with what the dapp keeps about it', async () => {
    await signIn()
    await siwx.setSessionAccountMetadata({ theme: 'dark' })
    const { appKitAccount } = await siwx.getSessionAccount()
    assert.equal(appKitAccount.caip2_chain, 'eip155:1')
    assert.deepEqual(appKitAccount.metadata, { theme: 'dark' })
  })

  test('is forgotten when the wallet disconnects', async () => {
    await signIn()
    await SIWXUtil.clearSessions()
    assert.equal(token(), null)
    assert.equal(await SIWXUtil.isAuthenticated(), false)
  })
})

test('e-mail codes are not sent by a gateway without a mail server, and it says so', async () => {
  const asked = siwx.requestEmailOtp({ email: 'a@b.example', account: `eip155:1:${wallet.address}` })
  await assert.rejects(asked, { message: 'email capture is not enabled' })
})

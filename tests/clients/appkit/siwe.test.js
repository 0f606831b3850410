// The older `siweConfig` of AppKit over the gateway, by AppKit's own mapping of it to SIWX.

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'

import { BASE, Browser, ETHEREUM, SOLANA, evmWallet, importModule, openPage, solanaWallet, startGateway } from './dapp.js'

const fetch = globalThis.fetch
const { error, warn } = console

let gateway, createSIWE, createSIWEConfig, SIWXUtil
let startAppKit, connect, shown
let browser, functions, client, wallet

before(async () => {
  gateway = await startGateway()
  ;({ createSIWE } = await importModule(gateway.url))
  // It brings views, which would build their templates in a page.
  ;({ createSIWEConfig } = await import('@reown/appkit-siwe'))
  openPage('/')
  ;({ SIWXUtil } = await import('@reown/appkit-controllers'))
  ;({ startAppKit, connect, shown } = await import('./appkit.js'))
  // The mapping warns each time that nobody is signed in.
  console.warn = () => {}
  console.error = () => {}
})

after(() => {
  Object.assign(console, { error, warn })
  return gateway.close()
})

beforeEach(() => {
  browser = new Browser(gateway.url, fetch)
  browser.open()
  functions = createSIWE({ gateway: gateway.url, chains: [1, 8453], statement: 'Sign in.' })
  client = createSIWEConfig(functions)
  wallet = evmWallet()
  startAppKit(client.mapToSIWX(), [ETHEREUM, BASE, SOLANA], wallet)
})

async function signIn() {
  await SIWXUtil.initializeIfEnabled()
  await SIWXUtil.requestSignMessage()
  assert.deepEqual(shown, ['SIWXSignMessage', 'SIWX_AUTH_SUCCESS'])
  shown.length = 0
}

describe('by the mapping', () => {
  test('signs in, stays signed in, and signs out', async () => {
    await signIn()
    assert.deepEqual(await functions.getSession(), { address: wallet.address, chainId: 1 })
    assert.equal(await SIWXUtil.isAuthenticated(), true)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, [])

    await SIWXUtil.clearSessions()
    assert.ok(!browser.signedIn)
    assert.equal(await functions.getSession(), null)
  })

  test('signs a text of EIP-4361', async () => {
    await signIn()
    const { sessions } = await (await globalThis.fetch(`${gateway.url}/.siwx/sessions`, { credentials: 'include' })).json()
    assert.match(sessions[0].message, new RegExp(`account:\n${wallet.address}\n\nSign in\\.\n\nURI: .*\nVersion: 1\nChain ID: 1\n`))
  })

  test('asks anew on another network', async () => {
    await signIn()
    connect(BASE, wallet)
    await signIn()
    assert.deepEqual(await functions.getSession(), { address: wallet.address, chainId: 8453 })
  })

  test('a wrong signature signs nobody in', async () => {
    const other = evmWallet()
    startAppKit(client.mapToSIWX(), [ETHEREUM], { ...wallet, sign: other.sign })
    await SIWXUtil.requestSignMessage()
    assert.deepEqual(shown, ['SIWXSignMessage', 'Error signing message', 'SIWX_AUTH_ERROR'])
    assert.ok(!browser.signedIn)
  })

  test('what AppKit takes for signed in on Solana, without a signature, is nobody here', async () => {
    const solana = solanaWallet()
    startAppKit(client.mapToSIWX(), [SOLANA], solana)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, [], 'AppKit asks for nothing')
    assert.ok(!browser.signedIn)
    assert.equal(await functions.getSession(), null)
  })
})

describe('the five functions by themselves', () => {
  test('sign in with no more than text and signature, as older versions of AppKit hand over', async () => {
    const [nonce, params] = [await functions.getNonce(), await functions.getMessageParams()]
    const said = { ...params, nonce, version: '1', iat: new Date().toISOString(), chainId: 1 }
    const message = functions.createMessage({ ...said, address: `eip155:1:${wallet.address}` })
    assert.equal(await functions.verifyMessage({ message, signature: await wallet.sign(message) }), true)
    assert.deepEqual(await functions.getSession(), { address: wallet.address, chainId: 1 })
    assert.equal(await functions.signOut(), true)
    assert.equal(await functions.getSession(), null)
  })

  test('a statement that looks like a field is not taken for one', async () => {
    const statement = 'Nonce: 00000000000000000'
    const nonce = await functions.getNonce()
    const said = { ...(await functions.getMessageParams()), statement, nonce, version: '1', iat: new Date().toISOString(), chainId: 1 }
    const message = functions.createMessage({ ...said, address: wallet.address })
    const signature = await wallet.sign(message)
    // Whether the gateway takes such a statement is for it to say; the nonce of the data has to be the message's.
    const answer = await functions.verifyMessage({ message, signature }).catch((error) => error.code)
    assert.notEqual(answer, 'data_mismatch')
  })

  test('refusals carry the sentence of the gateway', async () => {
    const said = { ...(await functions.getMessageParams()), nonce: 'neverissued', version: '1', iat: new Date().toISOString(), chainId: 1 }
    const message = functions.createMessage({ ...said, address: wallet.address })
    const refused = functions.verifyMessage({ message, signature: await wallet.sign(message) })
    await assert.rejects(refused, { name: 'GatewayError', status: 401, code: 'nonce_unknown' })
  })
})

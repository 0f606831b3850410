// A dapp of another origin imports the module from the gateway, in a browser with its real rules about origins and
// cookies. What AppKit does with the module is tried in `tests/clients/appkit`.
//
// With SIWX_URL, SIWX_DAPP_PORT is the port of an origin `http://localhost:…` that is among `auth.origins` there; the
// gateway has to be on http, too, or the two would be different sites.

import assert from 'node:assert/strict'
import http from 'node:http'
import process from 'node:process'
import { after, before, beforeEach, afterEach, describe, test } from 'node:test'

import { launch, real, startGateway, visit } from './browser.js'
import { EvmWallet } from './wallets.js'

const port = Number(process.env.SIWX_DAPP_PORT ?? 0)
const skip = real && port === 0 && 'SIWX_DAPP_PORT is not set'

let browser, server, gateway, dapp, wallet, visited

/** The dapp's page: two lines of its own. */
const html = () => `<!doctype html><link rel="icon" href="data:,"><script type="module">
  import { createSIWX, createSIWE } from '${gateway.url}/.siwx/siwx.js'
  Object.assign(window, { siwx: createSIWX(), siwe: createSIWE({ chains: [1] }) })
  document.body.textContent = 'ready'
</script><body></body>`

before(async () => {
  browser = await launch()
  server = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(html()))
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  dapp = `http://localhost:${server.address().port}`
})

after(async () => {
  server.closeAllConnections()
  server.close()
  await browser.close()
})

beforeEach(async () => {
  gateway = await startGateway({ dapps: [dapp] })
  wallet = new EvmWallet()
  visited = await visit(browser, [wallet], { places: [gateway.url, dapp] })
})

afterEach(async () => {
  await visited.close()
  await gateway.close()
})

/** The dapp's page in a new tab, with its module there. */
async function open() {
  const { page } = visited
  await page.goto(dapp)
  await page.getByText('ready').waitFor()
  return page
}

// In the page: signs in by the module, as AppKit would.
async function signIn(address) {
  const data = await window.siwx.createMessage({ accountAddress: address, chainId: 'eip155:1' })
  const message = data.toString()
  const bytes = Array.from(new TextEncoder().encode(message), (byte) => byte.toString(16).padStart(2, '0'))
  const { result } = await window.testWallet(0, 'personal_sign', [`0x${bytes.join('')}`, address])
  await window.siwx.addSession({ data, message, signature: result })
  return window.siwx.getSessions('eip155:1', address)
}

describe('a dapp of another origin', { skip }, () => {
  test('signs in, and stays signed in when its page is loaded again', async () => {
    let page = await open()
    const [session] = await page.evaluate(signIn, wallet.address)
    assert.equal(session.data.uri, `${dapp}/`)
    assert.equal(session.message, wallet.signed[0])

    page = await open()
    const again = await page.evaluate((address) => window.siwx.getSessions('eip155:1', address), wallet.address)
    assert.equal(again.length, 1)
    visited.check()
  })

  test('asks the gateway with its session', async () => {
    const page = await open()
    await page.evaluate(signIn, wallet.address)
    const me = await page.evaluate(async (url) => (await fetch(url, { credentials: 'include' })).json(), `${gateway.url}/.siwx/me`)
    assert.equal(me.account, wallet.account())
    visited.check()
  })

  test('reads the session by the functions for siweConfig, and signs out by them', async () => {
    const page = await open()
    await page.evaluate(signIn, wallet.address)
    assert.deepEqual(await page.evaluate(() => window.siwe.getSession()), { address: wallet.address, chainId: 1 })
    assert.equal(await page.evaluate(() => window.siwe.signOut()), true)
    assert.equal(await page.evaluate(() => window.siwe.getSession()), null)
    visited.check()
  })

  test('gets the sentence of a refusal', async () => {
    const page = await open()
    const refused = await page.evaluate(async (address) => {
      const data = await window.siwx.createMessage({ accountAddress: address, chainId: 'eip155:1' })
      const session = { data, message: data.toString(), signature: `0x${'11'.repeat(65)}` }
      return window.siwx.addSession(session).catch(({ name, status, code, message }) => ({ name, status, code, message }))
    }, wallet.address)
    assert.deepEqual([refused.name, refused.status, refused.code], ['GatewayError', 401, 'invalid_signature'])
    assert.match(refused.message, /signature/)
  })

  test('cannot read the cookie', async () => {
    const page = await open()
    await page.evaluate(signIn, wallet.address)
    assert.equal(await page.evaluate(() => document.cookie), '')
  })

  test('cannot import the module, when its origin is not known to the gateway', async () => {
    const { page } = visited
    const failed = page.waitForEvent('requestfailed', { predicate: (request) => request.url().endsWith('/siwx.js') })
    await page.goto(dapp.replace('localhost', '127.0.0.1'))
    await failed
    assert.equal(await page.evaluate(() => window.siwx), undefined)
  })
})

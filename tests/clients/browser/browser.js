// A browser, and what has to hold on every page it opens.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import process from 'node:process'

import { chromium } from 'playwright-core'

import { startMock } from '../mock/server.js'
import { install } from './wallets.js'

const EXECUTABLES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** SIWX_URL is the public URL of a gateway that runs; without it the suite runs against the mock. */
export const real = process.env.SIWX_URL

/** What only the mock can be told to do is skipped where there is a gateway. */
export const mockOnly = { skip: real && 'a gateway cannot be told to do this' }

export function launch() {
  const executablePath = process.env.CHROMIUM ?? EXECUTABLES.find(existsSync)
  if (!executablePath) throw new Error('there is no Chromium here: install the package `chromium`, or name one in CHROMIUM')
  return chromium.launch({ executablePath, args: ['--no-sandbox'] })
}

/**
 * The gateway under test: `{ url, mock, plan, subscribe }`, of which `mock` is missing when it is a real one. `subscribe`
 * gives an account the plan until a moment.
 */
export async function startGateway(options) {
  if (real) return { url: real, plan: 'default', subscribe: grant, close: () => {} }
  const mock = await startMock(options)
  return { url: mock.url, mock, plan: 'pro', subscribe: async (...held) => mock.subscribe(...held), close: () => mock.close() }
}

// By the admin API of a gateway that `gateway.py` has started.
async function grant(account, plan, expiresAt) {
  const { SIWX_ADMIN: admin, SIWX_ADMIN_TOKEN: token } = process.env
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ account, plan, expires_at: expiresAt })
  const response = await fetch(`${admin}/admin/subscriptions`, { method: 'POST', headers, body })
  assert.equal(response.status, 200, await response.text())
}

/**
 * Opens pages in a context of its own with these wallets, and watches them. `check` says whether all was as it has to be:
 * no violation of the page's policy, nothing wrong on the console, nothing asked of another place than `places`.
 */
export async function visit(browser, wallets, { places, ...options }) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options })
  const wrong = []
  if (options.javaScriptEnabled !== false) {
    await context.exposeBinding('policyViolation', (_, violation) => wrong.push(violation))
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        window.policyViolation(`${violatedDirective} forbids ${blockedURI}`),
      )
    })
    await install(context, wallets)
  }
  context.on('weberror', (error) => wrong.push(String(error.error())))
  context.on('console', (message) => {
    // Chromium tells of every answer above 400, which is what many of these tests are about.
    if (['error', 'warning'].includes(message.type()) && !/Failed to load resource/.test(message.text())) wrong.push(message.text())
  })
  context.on('request', (request) => {
    const url = new URL(request.url())
    if (url.protocol !== 'data:' && !places.includes(url.origin)) wrong.push(`a request to ${url.origin}`)
  })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  return {
    ...{ context, page, wrong },
    check: () => assert.deepEqual(wrong, []),
    close: () => context.close(),
  }
}

/**
 * Runs a test in a fresh context with these wallets, in front of a fresh gateway. It is given what `startGateway` and
 * `visit` give, and `click`, which presses the button of a name.
 */
export async function opened(browser, wallets, run, { gateway: configured = {}, ...options } = {}) {
  const gateway = await startGateway(configured)
  const visited = await visit(browser, wallets, { places: [gateway.url], ...options })
  try {
    await run({ ...gateway, ...visited, click: (name) => visited.page.getByRole('button', { name }).click() })
    visited.check()
  } finally {
    await visited.close()
    await gateway.close()
  }
}

/** What the page got in the end, as the service behind the gateway answered it. */
export async function goods(page) {
  await page.waitForFunction(() => document.contentType === 'application/json')
  return JSON.parse(await page.locator('body').innerText())
}

/** The page says what went wrong, in words like these. */
export async function complaint(page, expected) {
  await page.waitForFunction(() => document.querySelector('#problem').textContent !== '')
  assert.match(await page.getByRole('alert').innerText(), expected)
}

/** The cookies of sessions that a browser keeps. */
export const sessionCookies = async (context) => (await context.cookies()).filter(({ name }) => /siwx/.test(name))

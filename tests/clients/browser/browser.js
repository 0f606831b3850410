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

export function launch() {
  const executablePath = process.env.CHROMIUM ?? EXECUTABLES.find(existsSync)
  if (!executablePath) throw new Error('there is no Chromium here: install the package `chromium`, or name one in CHROMIUM')
  return chromium.launch({ executablePath, args: ['--no-sandbox'] })
}

/** The gateway under test: `{ url, mock }`, of which `mock` is missing when it is a real one. */
export async function startGateway(options) {
  if (real) return { url: real, close: () => {} }
  const mock = await startMock(options)
  return { url: mock.url, mock, close: () => mock.close() }
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

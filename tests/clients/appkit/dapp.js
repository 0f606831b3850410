// A dapp without a browser: a page, a browser's `fetch`, wallets that sign, and AppKit's own packages on top.
//
// SIWX_URL is the public URL of a gateway that runs; without it the suites run against the mock. Of a gateway they expect
//
//     [auth]     origins = ["https://dapp.example.test"]
//     [session]  labels = { eip155 = ["*"] }, reown_prefix = "/auth/v1"
//
// 1. `fetch` does what browsers do for a page of another origin: it asks by preflight, keeps cookies for requests with
//    credentials alone, and hides answers that do not name the page's origin. No other place is asked for anything.
// 2. The module is the one that the gateway serves.
// 3. All packages of AppKit here are 1.8.21, by `overrides` where they ask for another: two copies of its controllers
//    would be two states.

import { Buffer } from 'node:buffer'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'

import bs58 from 'bs58'
import nacl from 'tweetnacl'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

import { startMock } from '../mock/server.js'

export const ORIGIN = 'https://dapp.example.test'
const SIMPLE_TYPES = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']

export const real = process.env.SIWX_URL

export async function startGateway() {
  if (real) return { url: real, close: () => {} }
  return startMock({ dapps: [ORIGIN], labels: { eip155: ['*'], solana: ['Solana'] } })
}

/** The page, before anything of AppKit is imported: it looks for one at once. */
export function openPage(path = '/app?tab=1#top') {
  const location = new URL(path, ORIGIN)
  const kept = new Map()
  const localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, String(value)),
    removeItem: (key) => kept.delete(key),
    clear: () => kept.clear(),
  }
  Object.assign(globalThis, { window: globalThis, location, document: { location }, localStorage })
}

/** The module of the gateway. */
export async function importModule(url) {
  const response = await globalThis.fetch(`${url}/.siwx/siwx.js`)
  if (!response.ok) throw new Error(`the module was answered with ${response.status}`)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'siwx-'))
  const file = path.join(folder, 'siwx.mjs')
  writeFileSync(file, await response.text())
  try {
    return await import(pathToFileURL(file))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** One browser: its cookies for the gateway, and what was asked. */
export class Browser {
  asked = []
  statuses = []
  #cookies = new Map()
  #fetch

  constructor(url, fetch) {
    this.url = url
    this.#fetch = fetch
  }

  /** Makes this the `fetch` of the page. */
  open() {
    globalThis.fetch = (input, init) => this.#request(new URL(input.url ?? input), init)
  }

  get signedIn() {
    return this.#cookies.size > 0
  }

  async #request(url, { method = 'GET', headers = {}, body, credentials = 'same-origin', signal } = {}) {
    if (url.href === RPC) return Response.json({ jsonrpc: '2.0', id: JSON.parse(body).id, error: { code: 3, message: 'execution reverted' } })
    if (url.origin !== new URL(this.url).origin) throw new Error(`a request to ${url.origin}`)
    this.asked.push(`${method} ${url.pathname}`)
    const type = headers['content-type'] ?? (body === undefined ? undefined : 'text/plain;charset=UTF-8')
    const custom = Object.keys(headers).map((name) => name.toLowerCase()).filter((name) => name !== 'content-type')
    if (type && !SIMPLE_TYPES.includes(type.split(';')[0])) custom.push('content-type')
    const withCookies = credentials === 'include'
    if (custom.length > 0 || ['PUT', 'DELETE'].includes(method)) await this.#preflight(url, method, custom, withCookies)

    const sent = { ...headers, origin: ORIGIN, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' }
    if (type) sent['content-type'] = type
    if (withCookies && this.signedIn) sent.cookie = [...this.#cookies].map((pair) => pair.join('=')).join('; ')
    const response = await this.#fetch(url, { method, headers: sent, body, signal, redirect: 'error' })
    this.statuses.push(response.status)
    if (withCookies) this.#keep(response.headers.getSetCookie())
    this.#checkReadable(response, withCookies)
    return response
  }

  async #preflight(url, method, names, withCookies) {
    const asks = { 'access-control-request-method': method, 'access-control-request-headers': names.sort().join(',') }
    const response = await this.#fetch(url, { method: 'OPTIONS', headers: { origin: ORIGIN, ...asks } })
    const list = (field) => (response.headers.get(field) ?? '').toLowerCase().split(/\s*,\s*/)
    this.#checkReadable(response, withCookies)
    if (!response.ok) throw new TypeError(`the preflight was answered with ${response.status}`)
    if (!['GET', 'POST'].includes(method) && !list('access-control-allow-methods').includes(method.toLowerCase())) {
      throw new TypeError(`the preflight does not let ${method} pass`)
    }
    for (const name of names) {
      if (!list('access-control-allow-headers').includes(name)) throw new TypeError(`the preflight does not let ${name} pass`)
    }
  }

  #checkReadable({ headers }, withCookies) {
    if (headers.get('access-control-allow-origin') !== ORIGIN) throw new TypeError('the answer is not for this origin')
    if (withCookies && headers.get('access-control-allow-credentials') !== 'true') throw new TypeError('the answer is not for cookies')
  }

  #keep(lines) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(/;\s*/)
      const [name, value] = pair.split('=')
      if (attributes.some((attribute) => /^max-age=0$/i.test(attribute))) this.#cookies.delete(name)
      else this.#cookies.set(name, value)
    }
  }
}

// === wallets ===

// AppKit asks a node before it looks at a key; this one knows no contract.
export const RPC = 'https://rpc.example.test/'
const rpcUrls = { default: { http: [RPC] } }

export const ETHEREUM = { id: 1, caipNetworkId: 'eip155:1', chainNamespace: 'eip155', name: 'Ethereum', rpcUrls }
export const BASE = { id: 8453, caipNetworkId: 'eip155:8453', chainNamespace: 'eip155', name: 'Base' }
export const SOLANA = {
  id: '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  caipNetworkId: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  chainNamespace: 'solana',
  name: 'Solana',
}

export function evmWallet() {
  const key = privateKeyToAccount(generatePrivateKey())
  return { address: key.address, sign: (message) => key.signMessage({ message }) }
}

export function solanaWallet() {
  const key = nacl.sign.keyPair()
  return {
    address: bs58.encode(key.publicKey),
    sign: async (message) => bs58.encode(nacl.sign.detached(Buffer.from(message), key.secretKey)),
  }
}

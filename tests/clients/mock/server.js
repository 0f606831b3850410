// A gateway for tests of what runs in browsers: the session API and the login page, checking what the real one checks,
// with everything in memory.
//
//     /status   open to everybody
//     /me       for a wallet that is signed in
//     /paid     has a price
//     the rest  for a subscription
//
// It serves the files of `src/edge/browser` as they are, so that they are tried before anything of the gateway is built.
// `tests/clients/browser` and `tests/clients/appkit` run against the real one in the same way, by SIWX_URL.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http from 'node:http'

import { Refused } from './refused.js'
import { Reown } from './reown.js'
import { Sessions, isPair } from './sessions.js'

const FILES = new URL('../../../src/edge/browser/', import.meta.url)
const PREFIX = '/.siwx'
const REOWN = '/auth/v1'
const COOKIE = 'siwx'
const BODY_BYTES_MAX = 256 * 1024

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; " +
  "base-uri 'none'; frame-ancestors 'none'"

const OFFERS = [
  {
    ...{ plan: null, price: '$0.01', atMost: false, network: 'eip155:8453', token: 'USDC', amount: '10000' },
    ...{ asset: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C' },
  },
  {
    ...{ plan: 'pro', price: '$5', atMost: false, network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', token: 'USDC', amount: '5000000' },
    ...{ asset: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', payTo: 'EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w' },
  },
]

const WORDS = {
  credential_required: ['Sign in', 'This page opens for wallets that sign in.'],
  payment_required: ['For sale', 'This page has a price. A wallet that has paid it already only needs to sign in.'],
  subscription_required: ['Subscription needed', 'The account that is signed in has no subscription that opens this page.'],
}

/** Starts one on a free port of loopback. `dapps` are further origins; `chains` and `labels` as in a configuration. */
export async function startMock(options = {}) {
  const mock = new Mock(options)
  const server = http.createServer((request, response) => mock.answer(request, response))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  mock.open(`http://localhost:${server.address().port}`, options)
  mock.close = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  return mock
}

class Mock {
  /** What was asked, as `METHOD path`. */
  asked = []
  #failing = new Map()
  #subscriptions = new Map()

  open(url, { dapps = [], chains = ['eip155:*', 'solana:*'], labels = { eip155: ['Ethereum'], solana: ['Solana'] } }) {
    Object.assign(this, { url, chains, origins: [url, ...dapps] })
    this.sessions = new Sessions({ origins: this.origins, chains, labels })
    this.reown = new Reown(this.sessions)
  }

  /** The next request for this fails with a problem. */
  fail(asked, problem) {
    this.#failing.set(asked, problem)
  }

  /** Every request for this breaks off with its connection, until it is mended. Browsers try some of them twice. */
  break(asked) {
    this.#failing.set(asked, null)
  }

  mend() {
    this.#failing.clear()
  }

  subscribe(account, plan, expiresAt) {
    this.#subscriptions.set(account, { account, plan, expiresAt })
  }

  async answer(request, response) {
    const url = new URL(request.url, this.url)
    const asked = `${request.method} ${url.pathname}`
    this.asked.push(asked)
    if (this.#failing.has(asked)) {
      const problem = this.#failing.get(asked)
      if (problem === null) return request.socket.destroy()
      this.#failing.delete(asked)
      return sendProblem(response, problem)
    }
    if (this.#cors(request, response)) return
    try {
      if (url.pathname.startsWith(`${PREFIX}/`)) await this.#own(request, response, url)
      else if (url.pathname.startsWith(`${REOWN}/`)) await this.#answerReown(request, response, url)
      else this.#route(request, response, url)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      sendProblem(response, error)
    }
  }

  // True for a preflight, which is answered then.
  #cors(request, response) {
    const { origin } = request.headers
    response.setHeader('vary', 'Origin')
    if (this.origins.includes(origin)) {
      response.setHeader('access-control-allow-origin', origin)
      response.setHeader('access-control-allow-credentials', 'true')
    }
    if (request.method !== 'OPTIONS') return false
    if (this.origins.includes(origin)) {
      response.setHeader('access-control-allow-methods', 'GET, POST, PUT, DELETE')
      response.setHeader('access-control-allow-headers', 'authorization, content-type, x-nonce-jwt, x-otp, x-siwx-account')
    }
    response.writeHead(204).end()
    return true
  }

  async #own(request, response, url) {
    const name = url.pathname.slice(PREFIX.length + 1)
    const id = cookieOf(request)
    const asked = `${request.method} ${name}`
    if (!['GET', 'HEAD'].includes(request.method)) this.#checkOrigin(request)
    const from = request.headers.origin
    switch (asked) {
      case 'GET config':
        return send(response, 200, { domain: new URL(this.url).host, uri: this.url, chains: this.chains, nonceTtl: 600, sessionTtl: 86400 })
      case 'GET nonce':
        return send(response, 200, { ...this.sessions.issueNonce(), token: 'none' })
      case 'GET sessions':
        return send(response, 200, { sessions: this.#listed(id, url.searchParams) })
      case 'POST sessions': {
        const { session, id: next } = await this.sessions.add(id, await readJson(request), from)
        return send(response, 201, { session, token: next, expiresAt: session.expiresAt }, setCookie(next))
      }
      case 'PUT sessions': {
        const { sessions } = await readJson(request)
        const { sessions: set, id: next } = await this.sessions.replace(id, sessions, from)
        return send(response, 200, { sessions: set, token: next }, setCookie(set.length > 0 ? next : ''))
      }
      case 'DELETE sessions': {
        const { chainId, address } = pair(url.searchParams)
        const left = this.sessions.remove(id, chainId, address)
        return send(response, 204, null, left === 0 ? setCookie('') : {})
      }
      case 'GET me': {
        const [newest] = this.sessions.of(id).toReversed()
        if (!newest) throw new Refused(401, 'unauthenticated', 'nobody is signed in')
        const accounts = this.sessions.of(id).map(({ account }) => account)
        const subscriptions = accounts.flatMap((account) => this.#subscriptions.get(account) ?? [])
        return send(response, 200, { sub: `did:pkh:${newest.account}`, account: newest.account, accounts, scheme: newest.scheme, subscriptions })
      }
      case 'POST sign-out':
        await readJson(request)
        this.sessions.end(id)
        return send(response, 204, null, setCookie(''))
      case 'GET login':
        // The rule about paths to return to is the gateway's, and is tested there.
        return sendPage(response, 200, ['Sign in', 'Use a wallet to sign in. There is no password.'], {
          ...{ return: url.searchParams.get('return') ?? '/', code: null, offers: [] },
        })
      default:
        return sendFile(request, response, name)
    }
  }

  #listed(id, query) {
    if (!query.has('chainId') && !query.has('address')) return this.sessions.of(id)
    const { chainId, address } = pair(query)
    return this.sessions.of(id).filter((session) => isPair(session, chainId, address))
  }

  #checkOrigin({ headers }) {
    const { origin, 'sec-fetch-site': site } = headers
    const good = origin === undefined ? ['same-origin', 'none'].includes(site) : this.origins.includes(origin)
    if (!good) throw new Refused(403, 'csrf', `a write from \`${origin ?? 'nowhere'}\` is not taken`)
  }

  async #answerReown(request, response, url) {
    const { method, headers } = request
    const body = ['POST', 'PUT'].includes(method) ? await readJson(request) : {}
    try {
      const key = url.pathname.slice(REOWN.length + 1)
      const answer = await this.reown.answer(method, key, { headers, query: url.searchParams, body, from: headers.origin })
      send(response, 200, answer)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      response.writeHead(error.status, { 'content-type': 'text/plain' }).end(error.message)
    }
  }

  #route(request, response, { pathname }) {
    const [newest] = this.sessions.of(cookieOf(request)).toReversed()
    const refuse = (status, code, offers = []) => {
      const isPerson = request.headers.accept?.includes('text/html') && [undefined, 'navigate'].includes(request.headers['sec-fetch-mode'])
      if (!isPerson) return sendProblem(response, { status, code, message: code })
      sendPage(response, status, WORDS[code], { return: null, code, offers })
    }
    if (pathname !== '/status' && !newest) {
      return pathname === '/paid' ? refuse(402, 'payment_required', OFFERS) : refuse(401, 'credential_required')
    }
    if (pathname === '/paid' && !this.#subscriptions.has(newest.account)) return refuse(402, 'subscription_required', OFFERS)
    if (!['/status', '/me', '/paid'].includes(pathname) && !this.#subscriptions.has(newest.account)) return refuse(403, 'subscription_required')
    send(response, 200, { upstream: 'the goods', account: newest?.account })
  }
}

function cookieOf({ headers }) {
  const pairs = headers.cookie?.split('; ').map((pair) => pair.split('=')) ?? []
  return pairs.find(([name]) => name === COOKIE)?.[1]
}

function setCookie(id) {
  const age = id === '' ? 0 : 86400
  return { 'set-cookie': `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${age}` }
}

function pair(query) {
  const [chainId, address] = [query.get('chainId'), query.get('address')]
  if (!chainId || !address) throw new Refused(400, 'bad_request', 'expected both chainId and address')
  return { chainId, address }
}

async function readJson(request) {
  const pieces = []
  let length = 0
  for await (const piece of request) {
    length += piece.length
    if (length > BODY_BYTES_MAX) throw new Refused(413, 'body_too_large', 'the body is too long')
    pieces.push(piece)
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8') || '{}')
  } catch {
    throw new Refused(400, 'bad_request', 'expected JSON')
  }
}

function send(response, status, body, headers = {}) {
  const head = { 'cache-control': 'no-store', ...(body !== null && { 'content-type': 'application/json' }), ...headers }
  response.writeHead(status, head).end(body === null ? undefined : JSON.stringify(body))
}

function sendProblem(response, { status, code, message, index }) {
  const body = { type: 'about:blank', title: code, status, code, detail: message, request_id: randomBytes(8).toString('hex'), index }
  send(response, status, body, { 'content-type': 'application/problem+json' })
}

function sendFile(request, response, name) {
  const kinds = { css: 'text/css', js: 'text/javascript' }
  const kind = /^[a-z]+\.(css|js)$/.exec(name)?.[1]
  if (!kind || request.method !== 'GET') throw new Refused(404, 'no_route', 'there is nothing at this path')
  response
    .writeHead(200, { 'content-type': `${kinds[kind]}; charset=utf-8`, 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' })
    .end(readFileSync(new URL(name, FILES)))
}

function sendPage(response, status, [title, why], data) {
  const values = { prefix: PREFIX, title, why, data: JSON.stringify(data) }
  const escaped = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.codePointAt(0)};`)
  const html = readFileSync(new URL('login.html', FILES), 'utf8').replace(/\{\{(\w+)\}\}/g, (_, name) => escaped(values[name]))
  response
    .writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': POLICY,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .end(html)
}

// A node that can be asked over HTTP, with chains of its own, and doors to them that can be made to fail.
//
//     POST /               JSON-RPC, at the port of each door: one request, or a batch
//
// and for the tests, at a port that nobody else knows:
//
//     GET  /calls          what was asked at the doors since the last reset, in its order:
//                          { door, method, params, forbidden }; `forbidden` says what was wrong to ask for, or null
//     POST /calls/reset    forgets the calls
//     POST /behave         { door, act }: how the door behaves from now on
//     POST /send           { chain, raw }: runs a signed transaction; answers { ok, created }
//     POST /nonce          { chain, address }: answers { nonce }
//
// A chain may have several doors, and a door may lead to another chain than its name says.

import { Buffer } from 'node:buffer'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'

import { Chain } from './chain.js'
import { answerRpc } from './rpc.js'

/** What geth gives a call at most, unless told otherwise. */
const GAS_CAP = 50_000_000n
const BODY_BYTES_MAX = 5 << 20

/** Ports that no system gives to outgoing connections: one of those could be gone while its door is down. */
const PORTS = { from: 10_000, to: 30_000 }

/** What a door does with a request it has read, where that is not honest; without an entry it answers. */
const ACTS = {
  honest: null,
  // The port is closed, and what was open at it ends: `Door` sees to that.
  down: null,
  hang: () => {},
  busy: (response) => send(response, 429, 'Too Many Requests', 'text/plain'),
  limited: (response, { id }) => rpc(response, { id, error: { code: -32005, message: 'daily request count exceeded' } }),
  html: (response) => send(response, 200, '<!doctype html><title>OK</title>', 'text/html'),
  stranger: (response, { id }) => rpc(response, { id: id + 1, result: '0x01' }),
  null: (response, { id }) => rpc(response, { id, result: null }),
  elsewhere: (response) => {
    response.setHeader('location', '/elsewhere')
    send(response, 307, '', 'text/plain')
  },
}

/** One port, at which a chain is asked. */
class Door {
  #server
  #port = 0
  #act = 'honest'

  constructor(name, node, calls) {
    this.name = name
    this.#server = http.createServer((request, response) => this.#serve(node, calls, request, response))
  }

  /** At a port of its own the first time, and at the same from then on. */
  async open() {
    while (this.#port === 0) {
      const port = randomInt(PORTS.from, PORTS.to)
      if (await this.#listens(port)) this.#port = port
    }
    if (!this.#server.listening && !(await this.#listens(this.#port))) throw new Error(`port ${this.#port} is taken`)
  }

  async #listens(port) {
    this.#server.listen(port, '127.0.0.1')
    try {
      await once(this.#server, 'listening')
      return true
    } catch (error) {
      if (error.code === 'EADDRINUSE') return false
      throw error
    }
  }

  async close() {
    if (!this.#server.listening) return
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  /** From now on, for connections that are there already too. */
  async behave(act) {
    this.#act = act
    if (act === 'down') await this.close()
    else if (!this.#server.listening) await this.open()
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`
  }

  async #serve(node, calls, request, response) {
    const body = await read(request)
    if (request.method !== 'POST') return send(response, 405, 'method not allowed', 'text/plain')
    if (!/^application\/json(;|$)/.test(request.headers['content-type'] ?? '')) {
      return send(response, 415, 'invalid content type, only application/json is supported', 'text/plain')
    }
    if (body === null) return send(response, 413, 'content length too large', 'text/plain')
    let said
    try {
      said = JSON.parse(body)
    } catch {
      return rpc(response, { id: null, error: { code: -32700, message: 'parse error' } })
    }
    const requests = Array.isArray(said) ? said : [said]
    const noted = requests.map((each) => note(this.name, each, request.url))
    calls.push(...noted)
    // Whoever follows a redirect gets what they must not have looked for.
    const act = request.url === '/' ? ACTS[this.#act] : null
    if (act !== null) return act(response, requests[0])
    const answers = []
    for (const [position, each] of requests.entries()) {
      const { answer, forbidden } = await answerRpc(node, each)
      noted[position].forbidden ??= forbidden
      answers.push(answer)
    }
    rpc(response, Array.isArray(said) ? answers : answers[0])
  }
}

/** A redirect must not be followed. */
const note = (door, request, path) => ({
  ...{ door, method: request?.method, params: request?.params },
  forbidden: path === '/' ? null : path,
})

/**
 * Starts chains, by their names `{ name: { id, runsCode } }`, and doors to them, `{ name: chain }`. Returns where the
 * doors and the tests' own port are, and `close`.
 */
export async function startNode({ chains, doors, gasCap = GAS_CAP }) {
  const nodes = {}
  for (const [name, { id, runsCode }] of Object.entries(chains)) {
    nodes[name] = { id, chain: await Chain.create(id, { gasCap, runsCode }) }
  }
  const calls = []
  const opened = Object.entries(doors).map(([name, chain]) => new Door(name, nodes[chain], calls))
  await Promise.all(opened.map((door) => door.open()))

  const operations = {
    'GET /calls': () => calls,
    'POST /calls/reset': () => {
      calls.length = 0
      return {}
    },
    'POST /behave': async ({ door, act }) => {
      if (!Object.hasOwn(ACTS, act)) throw new Error(`expected an act of ${Object.keys(ACTS)}, found ${act}`)
      await opened.find(({ name }) => name === door).behave(act)
      return {}
    },
    'POST /send': ({ chain, raw }) => nodes[chain].chain.send(raw),
    'POST /nonce': async ({ chain, address }) => ({ nonce: Number(await nodes[chain].chain.nonce(address)) }),
  }
  const control = http.createServer(async (request, response) => {
    try {
      const body = await read(request)
      const done = await operations[`${request.method} ${request.url}`](body === '' ? null : JSON.parse(body))
      send(response, 200, JSON.stringify(done), 'application/json')
    } catch (error) {
      send(response, 500, String(error.stack ?? error), 'text/plain')
    }
  })
  control.listen(0, '127.0.0.1')
  await once(control, 'listening')
  return {
    control: `http://127.0.0.1:${control.address().port}`,
    doors: Object.fromEntries(opened.map(({ name, url }) => [name, url])),
    close: async () => {
      await Promise.all(opened.map((door) => door.close()))
      control.close()
      control.closeAllConnections()
    },
  }
}

/** The whole body, or null if it is too long. */
async function read(request) {
  const pieces = []
  let length = 0
  for await (const piece of request) {
    length += piece.length
    if (length <= BODY_BYTES_MAX) pieces.push(piece)
  }
  return length <= BODY_BYTES_MAX ? Buffer.concat(pieces).toString('utf8') : null
}

const rpc = (response, answer) =>
  send(response, 200, JSON.stringify(Array.isArray(answer) ? answer : { jsonrpc: '2.0', ...answer }), 'application/json')

function send(response, status, text, type) {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

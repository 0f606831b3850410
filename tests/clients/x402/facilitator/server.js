// A facilitator for tests: it checks payments as a real one does, moves money in its own books alone, and misbehaves
// when told to.
//
//     GET  /supported   POST /verify   POST /settle     x402 version 2
//     GET  /books                                       what was asked for and settled; books.js says what it means
//     POST /behave      { operation, behaviours, times?, payer? } or { reset: true }; behaviour.js has the list
//     POST /clock       { now: seconds } or { now: null }: the clock that `validBefore` is judged by
//     POST /repeat      { answer: "same" | "refuse" }: what a second settlement of a payment gets; "same" at first
//     POST /solana-rpc  the two questions that stock clients ask a Solana node before they sign
//
// A second settlement moves nothing either way. "same" gives the first answer again, as facilitators do that know what
// they settled; "refuse" is what a chain says of a used authorization.

import http from 'node:http'

import { privateKeyToAddress } from 'viem/accounts'

import { Refused, demand, isObject } from './answers.js'
import { Behaviour, nonsense } from './behaviour.js'
import { Books } from './books.js'
import { checkEvm } from './evm.js'
import { checkSolana, feePayerFrom } from './solana.js'
import { answerRpc } from './solana-rpc.js'

const EVM_NETWORKS = ['eip155:84532', 'eip155:8453', 'eip155:1']
const SOLANA_NETWORKS = ['solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1', 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp']

// Keys that exist for tests alone, the same in every run, so that books and journals of several runs fit together.
const EVM_ADDRESS = privateKeyToAddress(`0x${'f1'.repeat(32)}`)
const FEE_PAYER = feePayerFrom(Buffer.alloc(32, 0xf2))

// A payment with a whole extension echoed has 4 kB; this is what a gateway may send at most.
const BODY_BYTES_MAX = 1 << 20

/** Starts a facilitator on a free port of loopback. */
export async function startFacilitator({ journal = null, port = 0 } = {}) {
  const facilitator = new Facilitator(new Books(journal))
  const server = http.createServer((request, response) => facilitator.answer(request, response))
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

class Facilitator {
  #books
  #behaviour = new Behaviour()
  #now = null
  #repeat = 'same'

  constructor(books) {
    this.#books = books
  }

  async answer(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost')
    const operation = { 'GET /supported': 'supported', 'POST /verify': 'verify', 'POST /settle': 'settle' }[
      `${request.method} ${pathname}`
    ]
    try {
      if (operation === undefined) return await this.#control(`${request.method} ${pathname}`, request, response)
      await this.#operate(operation, request, response)
    } catch (error) {
      if (!response.headersSent) send(response, 400, { error: error.message })
    }
  }

  async #operate(operation, request, response) {
    this.#books.call(operation)
    if (this.#behaviour.dropsUnread(operation)) return request.socket.destroy()
    if (operation !== 'supported') return this.#judge(operation, await readJson(request), request, response)
    const behaviour = this.#behaviour.next(operation, null)
    await delay(behaviour)
    await deliver(behaviour, response, { status: 200, body: supported() }, request)
  }

  async #judge(operation, body, request, response) {
    let record = null
    let refusal = null
    try {
      record = await this.#check(operation, body)
      this.#books.asked(operation, record)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refusal = error
    }
    const behaviour = this.#behaviour.next(operation, (record ?? refusal).payer)
    await delay(behaviour)
    const answer = refusal ? refuse(operation, body, refusal) : this.#act(operation, behaviour, record)
    const left = await deliver(behaviour, response, answer, request)
    if (record === null || operation !== 'settle') return
    if (left && answer.body.success === true && behaviour.act === 'honest') this.#books.answered(record.id)
    this.#books.ended(record.id)
  }

  /** The checks of either operation, apart from whether the authorization was used. */
  async #check(operation, body) {
    const { x402Version, paymentPayload, paymentRequirements: requirement } = body
    demand(
      x402Version === 2 && isObject(paymentPayload) && paymentPayload.x402Version === 2,
      'invalid_x402_version',
      'expected version 2',
    )
    demand(isObject(requirement) && isObject(paymentPayload.accepted), 'invalid_payload', 'expected paymentRequirements and accepted')
    const { scheme, network } = requirement
    demand(
      scheme === paymentPayload.accepted.scheme && network === paymentPayload.accepted.network,
      'invalid_payload',
      'the payment was made for another scheme or network',
    )
    const { payload } = paymentPayload
    if (EVM_NETWORKS.includes(network) && ['exact', 'upto'].includes(scheme)) {
      const settling = operation === 'settle'
      return checkEvm({ payload, requirement, settling, facilitator: EVM_ADDRESS, now: this.#seconds() })
    }
    if (SOLANA_NETWORKS.includes(network) && scheme === 'exact') return checkSolana({ payload, requirement, feePayer: FEE_PAYER })
    throw new Refused('unsupported_scheme', `expected a kind of /supported, found ${scheme} on ${network}`)
  }

  /** What the books become by a good payment, and the honest answer or a refusal as told. */
  #act(operation, behaviour, record) {
    const { payer, network } = record
    if (behaviour.act === 'refuse') return this.#refused(operation, behaviour, record, behaviour.reason ?? 'insufficient_funds')
    if (operation === 'verify') {
      if (this.#books.hasSettled(record.id)) return this.#refused(operation, behaviour, record, record.used)
      return { status: 200, body: { isValid: true, payer } }
    }
    if (behaviour.act === 'pending') {
      const transaction = behaviour.transaction === false ? '' : record.transaction
      return {
        status: behaviour.status ?? 200,
        body: { success: false, errorReason: 'settlement_pending', payer, transaction, network },
      }
    }
    if (!settles(behaviour)) return { status: 200, body: {} }
    if (this.#books.hasSettled(record.id)) {
      if (this.#repeat === 'refuse') return this.#refused(operation, behaviour, record, record.used)
    } else {
      this.#books.settled(record)
    }
    const { transaction, amount } = record
    return { status: 200, body: { success: true, payer, transaction, network, amount } }
  }

  #refused(operation, behaviour, record, reason) {
    this.#books.refused(record.id, reason)
    const { message, status = 200 } = behaviour
    return answerRefusal(operation, { reason, message, status, payer: record.payer, network: record.network })
  }

  async #control(asked, request, response) {
    switch (asked) {
      case 'GET /books':
        return send(response, 200, this.#books)
      case 'POST /solana-rpc':
        return send(response, 200, answerRpc(await readJson(request)))
      case 'POST /behave': {
        const told = await readJson(request)
        if (told.reset) this.#behaviour.reset()
        const wrong = told.reset ? null : this.#behaviour.tell(told)
        return wrong === null ? send(response, 200, {}) : send(response, 400, { error: wrong })
      }
      case 'POST /clock':
        this.#now = (await readJson(request)).now
        return send(response, 200, { now: this.#seconds() })
      case 'POST /repeat': {
        const { answer } = await readJson(request)
        if (!['same', 'refuse'].includes(answer)) return send(response, 400, { error: `expected "same" or "refuse", found ${answer}` })
        this.#repeat = answer
        return send(response, 200, {})
      }
      default:
        return send(response, 404, { error: `there is no ${asked}` })
    }
  }

  #seconds() {
    return this.#now ?? Math.floor(Date.now() / 1000)
  }
}

const delay = ({ delay_ms = 0 }) => new Promise((resolve) => setTimeout(resolve, delay_ms))

/** Whether a settlement under this behaviour moves the money. */
function settles(behaviour) {
  switch (behaviour.act) {
    case 'honest':
    case 'lie':
      return true
    case 'drop':
      return behaviour.when === 'after-settling'
    default:
      return behaviour.settles === true
  }
}

function supported() {
  const evm = EVM_NETWORKS.flatMap((network) => [
    { x402Version: 2, scheme: 'exact', network },
    { x402Version: 2, scheme: 'upto', network, extra: { facilitatorAddress: EVM_ADDRESS } },
  ])
  const solana = SOLANA_NETWORKS.map((network) => ({
    x402Version: 2,
    scheme: 'exact',
    network,
    extra: { feePayer: FEE_PAYER.address },
  }))
  return { kinds: [...evm, ...solana], extensions: [], signers: { 'eip155:*': [EVM_ADDRESS], 'solana:*': [FEE_PAYER.address] } }
}

const refuse = (operation, body, { reason, message, payer }) =>
  answerRefusal(operation, { reason, message, payer, network: body.paymentRequirements?.network ?? '' })

function answerRefusal(operation, { reason, message, payer, network, status = 200 }) {
  const body =
    operation === 'verify'
      ? { isValid: false, invalidReason: reason, invalidMessage: message, payer }
      : { success: false, errorReason: reason, errorMessage: message, payer, transaction: '', network }
  return { status, body }
}

/** Sends the answer, or what the behaviour puts in its place. Resolves to whether it left whole. */
async function deliver(behaviour, response, { status, body }, request) {
  switch (behaviour.act) {
    case 'hang':
      return new Promise((resolve) => response.on('close', () => resolve(false)))
    case 'drop':
      request.socket.destroy()
      return false
    case 'nonsense': {
      const { type, body: text } = nonsense(behaviour.kind)
      return sendText(response, behaviour.status ?? 200, { 'content-type': type }, text)
    }
    case 'busy':
      return sendText(response, 429, { 'retry-after': String(behaviour.retry_after ?? 1) }, '')
    case 'fault':
      return send(response, behaviour.status ?? 500, { error: 'internal error' })
    case 'lie':
      return send(response, status, bend(body, behaviour))
    default:
      return send(response, status, body)
  }
}

function bend(body, { payer, network, omit = [], add = {} }) {
  const bent = { ...body, ...(payer !== undefined && { payer }), ...(network !== undefined && { network }), ...add }
  for (const name of omit) delete bent[name]
  return bent
}

const send = (response, status, body) => sendText(response, status, { 'content-type': 'application/json' }, JSON.stringify(body))

function sendText(response, status, headers, text) {
  return new Promise((resolve) => {
    response.on('finish', () => resolve(true))
    response.on('close', () => resolve(false))
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) })
    response.end(text)
  })
}

async function readJson(request) {
  const pieces = []
  let bytes = 0
  for await (const piece of request) {
    bytes += piece.length
    if (bytes > BODY_BYTES_MAX) throw new Error(`expected at most ${BODY_BYTES_MAX} bytes`)
    pieces.push(piece)
  }
  const value = JSON.parse(Buffer.concat(pieces).toString('utf8'))
  if (!isObject(value)) throw new Error('expected a JSON object')
  return value
}

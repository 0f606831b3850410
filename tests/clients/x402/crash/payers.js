// Pays without pause while the gateway is killed and started again, and notes every answer it got.
//
//     node crash/payers.js --base URL --answers FILE --workers N
//
// The file gets one JSON line for each payment before it is first sent, and one for each answer or loss of one. Times
// are milliseconds since 1970. Standard input takes these lines, each answered by one line of JSON:
//
//     {"stop": true}        ends the load once nothing is under way
//     {"pay": true}         pays once with the wallet `patient` that the first line of output named
//     {"again": [id, …]}    sends these payments once more; the answer is the list of statuses
//     {"return": [id, …]}   signs in with the wallets of these payments and asks for what each of them opens; the
//                           answer is the list of statuses
//
// 1. Half of the payments come from wallets that pay once, the others from a few that buy the same thing again and
//    again, whose access every purchase must prolong once.
// 2. What was lost, refused or unknown is sent again, now and then; so is what was settled. Some payments are sent
//    three times at once.
// 3. Some requests must never open anything: without payment, with a forged signature, or with a payment for less.

import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import http from 'node:http'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'

const { values } = parseArgs({ options: { base: { type: 'string' }, answers: { type: 'string' }, workers: { type: 'string' } } })
const BASE = new URL(values.base)

// What is sold. `wallets` is how many buy it again and again; without it everybody buys once.
const KINDS = {
  data: { method: 'GET' },
  orders: { method: 'POST' },
  plan: { method: 'GET', wallets: 6 },
  timed: { method: 'GET', wallets: 6 },
}
const TRANSFER = [
  ...['from', 'to'].map((name) => ({ name, type: 'address' })),
  ...['value', 'validAfter', 'validBefore'].map((name) => ({ name, type: 'uint256' })),
  { name: 'nonce', type: 'bytes32' },
]
// Long enough for every recovery.
const VALID_SECS = 3600
const ANSWER_WITHIN_MS = 30_000
const ATTEMPTS_MAX = 6
const UNREACHED = { status: null }

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })
const wallets = {}
const payments = new Map()
let stopped = false

const chance = (probability) => Math.random() < probability
const pick = (list) => list[Math.floor(Math.random() * list.length)]
const note = (line) => appendFileSync(values.answers, `${JSON.stringify(line)}\n`)
const newWallet = () => privateKeyToAccount(generatePrivateKey())

// === one request ===

/**
 * The answer; null if the connection ended before its head; UNREACHED if there was none. What was lost after the head is
 * an answer.
 */
function ask(method, path, headers = {}) {
  return new Promise((resolve) => {
    const request = http.request({ agent, method, path, headers, host: BASE.hostname, port: BASE.port }, (response) => {
      const pieces = []
      const answer = (whole) => resolve({ ...read(response, Buffer.concat(pieces).toString()), whole, ended: Date.now() })
      response.on('data', (piece) => pieces.push(piece))
      response.on('end', () => answer(true))
      response.on('error', () => answer(false))
    })
    request.setTimeout(ANSWER_WITHIN_MS, () => request.destroy())
    request.on('error', ({ code }) => resolve(code === 'ECONNREFUSED' ? UNREACHED : null))
    request.end()
  })
}

function read({ statusCode: status, headers }, text) {
  const decoded = (name) => (headers[name] === undefined ? null : JSON.parse(Buffer.from(headers[name], 'base64')))
  const code = /json/.test(headers['content-type'] ?? '') && /"code":"([a-z_]+)"/.exec(text)?.[1]
  return { status, code: code || null, goods: text.includes('the goods'), response: decoded('payment-response'), required: decoded('payment-required') }
}

// === payments ===

/** The terms of each kind, of which a gateway that does not start anew with each request changes none. */
async function learnTerms() {
  for (const [name, kind] of Object.entries(KINDS)) {
    const { required } = await ask(kind.method, `/${name}/terms`)
    kind.terms = required.accepts.find(({ network, scheme }) => network.startsWith('eip155:') && scheme === 'exact')
  }
}

async function sign(wallet, terms, { forged = false } = {}) {
  const { asset, network, payTo, amount, extra } = terms
  const authorization = {
    ...{ from: wallet.address, to: payTo, value: amount, validAfter: '0' },
    validBefore: String(Math.floor(Date.now() / 1000) + VALID_SECS),
    nonce: `0x${randomBytes(32).toString('hex')}`,
  }
  const signature = await (forged ? newWallet() : wallet).signTypedData({
    domain: { name: extra.name, version: extra.version, chainId: Number(network.split(':')[1]), verifyingContract: asset },
    types: { TransferWithAuthorization: TRANSFER },
    primaryType: 'TransferWithAuthorization',
    message: authorization,
  })
  const payload = { x402Version: 2, payload: { authorization, signature }, accepted: terms }
  const named = [network, asset, wallet.address, authorization.nonce].join('|').toLowerCase()
  return {
    id: createHash('sha256').update(named).digest('hex'),
    header: Buffer.from(JSON.stringify(payload)).toString('base64'),
  }
}

let count = 0

function anyPayment() {
  const name = pick(Object.keys(KINDS))
  const { wallets: pool } = KINDS[name]
  wallets[name] ??= Array.from({ length: pool ?? 0 }, newWallet)
  const forged = chance(0.03)
  return newPayment(name, pool === undefined || forged ? newWallet() : pick(wallets[name]), { forged, ...fails() })
}

async function newPayment(name, wallet, { forged = false, ...headers } = {}) {
  const { method, terms } = KINDS[name]
  const { id, header } = await sign(wallet, terms, { forged })
  count += 1
  const payment = { id, kind: name, forged, payer: wallet.address.toLowerCase(), amount: terms.amount, path: `/${name}/${count}` }
  payments.set(id, { wallet, method, ...payment, headers: { 'payment-signature': header, ...headers } })
  note({ payment })
  return payments.get(id)
}

/** A few requests for which the service behind fails. */
const fails = () => (chance(0.03) ? { 'x-upstream-status': '503' } : {})

async function present({ id, method, path, headers }) {
  let begun = Date.now()
  let answer = await ask(method, path, headers)
  while (answer === UNREACHED && !stopped) {
    await sleep(10)
    begun = Date.now()
    answer = await ask(method, path, headers)
  }
  if (answer === UNREACHED) return answer
  if (answer === null) note({ lost: { id, begun, ended: Date.now() } })
  else note({ answer: { id, begun, ...answer, required: undefined } })
  return answer
}

async function pay() {
  const payment = await anyPayment()
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const copies = attempt === 1 && chance(0.05) ? 3 : 1
    const answers = await Promise.all(Array.from({ length: copies }, () => present(payment)))
    const [answer] = answers.sort((one, other) => (other?.status === 200) - (one?.status === 200))
    if (stopped || !chance(again(answer))) return
    await sleep(answer === null ? 30 : 100)
  }
}

/** How likely a client sends a payment again after this answer. */
function again(answer) {
  if (answer === null) return 0.85
  return { 200: 0.05, 402: 0.3, 409: 0.3 }[answer.status] ?? 0.6
}

/** Requests that no answer may open. */
async function trespass() {
  const name = pick(Object.keys(KINDS))
  const { method } = KINDS[name]
  const cheap = chance(0.5) ? await sign(newWallet(), KINDS.data.terms) : null
  // A payment for cheap data opens data; for the plan it is none.
  const path = cheap === null ? `/${name}/unpaid` : '/plan/unpaid'
  const headers = cheap === null ? {} : { 'payment-signature': cheap.header }
  const begun = Date.now()
  const answer = await ask(cheap === null ? method : 'GET', path, headers)
  if (answer !== null && answer !== UNREACHED) note({ answer: { id: null, begun, ...answer, required: undefined } })
}

async function work() {
  while (!stopped) {
    await (chance(0.1) ? trespass() : pay())
    await sleep(5)
  }
}

// === coming back ===

async function comeBack(id) {
  const { wallet, method, kind } = payments.get(id)
  const now = Date.now()
  const text = createSiweMessage({
    ...{ domain: BASE.host, uri: BASE.origin, version: '1', chainId: 84532, address: wallet.address },
    ...{ statement: 'Open the API.', nonce: randomBytes(16).toString('hex') },
    ...{ issuedAt: new Date(now - 1000), expirationTime: new Date(now + 600_000) },
  })
  const token = `SIWX ${Buffer.from(text).toString('base64')}.${await wallet.signMessage({ message: text })}`
  return (await ask(method, `/${kind}/back`, { authorization: token }))?.status ?? null
}

await learnTerms()
const workers = Array.from({ length: Number(values.workers) }, work)
const patient = newWallet()
console.log(JSON.stringify({ patient: patient.address }))
for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line)
  if (told.stop) {
    stopped = true
    await Promise.all(workers)
    console.log(JSON.stringify({ payments: payments.size }))
  } else if (told.pay) {
    const payment = await newPayment('data', patient)
    const answer = await present(payment)
    console.log(JSON.stringify({ id: payment.id, status: answer?.status ?? null }))
  } else {
    const statuses = []
    for (const id of told.again ?? []) statuses.push((await present(payments.get(id)))?.status ?? null)
    for (const id of told.return ?? []) statuses.push(await comeBack(id))
    console.log(JSON.stringify(statuses))
  }
}
agent.destroy()

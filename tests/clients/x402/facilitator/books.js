// The books: what was asked for each payment, and what became of it.
//
// 1. Every entry is on disk before anything that follows from it leaves the process: a journal of JSON lines, each
//    appended and synced. A line that a crash tore is cut off; everything before it counts.
// 2. One payment is one authorization, whatever the bytes around it: it settles once. Its id is the gateway's own
//    (x402.md section 6), so that books and store can be laid side by side. What is asked for after that is
//    counted, and answered again or refused as the facilitator is told.
// 3. The counts are those a gateway has to answer for. `asked_after_answer` counts settlements asked for although a
//    success had left for good, `asked_at_once` the most that were under way at the same time. On a healthy gateway the
//    first is 0 and the second 1; one that died may have left an answer unread, and then asks once more.

import fs from 'node:fs'

const TERMS = ['network', 'scheme', 'asset', 'pay_to', 'amount', 'payer', 'nonce', 'transaction']

export class Books {
  #payments = new Map()
  #calls = { supported: 0, verify: 0, settle: 0 }
  #journal = null

  /** Books in memory, or with a journal at `path`, which is read first if it exists. */
  constructor(path = null) {
    if (path === null) return
    const lines = fs.existsSync(path) ? fs.readFileSync(path, 'utf8').split('\n') : ['']
    const torn = lines.pop()
    for (const line of lines) this.#apply(JSON.parse(line))
    // What was under way ended with the process.
    for (const payment of this.#payments.values()) payment.under_way = 0
    this.#journal = fs.openSync(path, 'a')
    if (torn !== '') fs.ftruncateSync(this.#journal, fs.fstatSync(this.#journal).size - Buffer.byteLength(torn))
  }

  /** Counts a call before its body is judged. */
  call(operation) {
    this.#write({ entry: 'call', operation })
  }

  /** Notes that a payment passed a check before `operation`, under the terms `record` has. */
  asked(operation, record) {
    this.#write({ entry: `${operation}_asked`, id: record.id, terms: pick(record, TERMS) })
  }

  /** Notes the end of a settlement, whether its answer left or not. */
  ended(id) {
    this.#write({ entry: 'settle_ended', id })
  }

  /** Moves the money. */
  settled(record) {
    this.#write({ entry: 'settled', id: record.id, amount: record.amount, transaction: record.transaction })
  }

  /** Notes that an answer with `success: true` was handed to the network whole. */
  answered(id) {
    this.#write({ entry: 'answered', id })
  }

  refused(id, reason) {
    this.#write({ entry: 'refused', id, reason })
  }

  hasSettled(id) {
    return this.#payments.get(id)?.settled === true
  }

  /** What `GET /books` shows. */
  toJSON() {
    const payments = [...this.#payments.values()].map(({ under_way: _, ...payment }) => payment)
    const settled = payments.filter((payment) => payment.settled)
    return {
      calls: this.#calls,
      totals: {
        payments: payments.length,
        settled: settled.length,
        settled_unanswered: settled.filter((payment) => payment.answered === 0).length,
        settle_asked: sum(payments, 'settle_asked'),
        asked_after_answer: sum(payments, 'asked_after_answer'),
        asked_at_once: Math.max(0, ...payments.map((payment) => payment.asked_at_once)),
      },
      payments,
    }
  }

  #write(entry) {
    const dated = { at: new Date().toISOString(), ...entry }
    this.#apply(dated)
    if (this.#journal === null) return
    fs.writeSync(this.#journal, `${JSON.stringify(dated)}\n`)
    fs.fsyncSync(this.#journal)
  }

  #apply({ at, entry, ...said }) {
    if (entry === 'call') {
      this.#calls[said.operation] += 1
      return
    }
    const payment = this.#payment(said.id)
    switch (entry) {
      case 'verify_asked':
        Object.assign(payment, said.terms)
        payment.verify_asked += 1
        break
      case 'settle_asked':
        if (!payment.settled) Object.assign(payment, said.terms)
        payment.settle_asked += 1
        payment.under_way += 1
        payment.asked_at_once = Math.max(payment.asked_at_once, payment.under_way)
        if (payment.answered > 0) payment.asked_after_answer += 1
        break
      case 'settle_ended':
        payment.under_way -= 1
        break
      case 'settled':
        Object.assign(payment, { settled: true, settled_at: at, amount: said.amount, transaction: said.transaction })
        break
      case 'answered':
        payment.answered += 1
        break
      case 'refused':
        payment.refused.push(said.reason)
        break
      default:
        throw new Error(`the journal has an entry of a kind unknown here: ${entry}`)
    }
  }

  #payment(id) {
    if (!this.#payments.has(id)) {
      this.#payments.set(id, {
        id,
        verify_asked: 0,
        settle_asked: 0,
        settled: false,
        settled_at: null,
        answered: 0,
        asked_after_answer: 0,
        asked_at_once: 0,
        refused: [],
        under_way: 0,
      })
    }
    return this.#payments.get(id)
  }
}

const sum = (payments, name) => payments.reduce((total, payment) => total + payment[name], 0)
const pick = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]))

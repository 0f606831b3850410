// How the facilitator misbehaves when told to.
//
// A behaviour is one JSON object: `act` says what is done, the other members how. It is told for one operation, for the
// next `times` calls or until told otherwise; a list of them is worked through one by one. With `payer` it counts for
// that payer's calls alone: a gateway asks again, in its own time, for what other payers left unknown.
//
//     { act: 'honest' }                                   as if nothing had been told
//     { act: 'refuse', reason, message?, status? }        a refusal with that reason
//     { act: 'hang' }                                     the request is read and never answered
//     { act: 'drop', when }                               the connection ends `before-reading`, `after-reading`, or
//                                                         `after-settling`: the payment is in the books, no answer leaves
//     { act: 'pending', transaction?, status? }           `settlement_pending`, with the transaction unless it is false
//     { act: 'nonsense', kind, status?, settles? }        html, text, shape, null, empty, truncated or megabytes
//     { act: 'busy', retry_after? }                       429; seconds or a date
//     { act: 'lie', payer?, network?, omit?, add? }       honest work, but the answer names another payer or network,
//                                                         leaves members out, or has more
//     { act: 'fault', status?, settles? }                 a status of its own making, 500 by default
//
// With `delay_ms` any of them takes its time first. `settles` does the work before the bad answer leaves.

const ACTS = ['honest', 'refuse', 'hang', 'drop', 'pending', 'nonsense', 'busy', 'lie', 'fault']
const DROPS = ['before-reading', 'after-reading', 'after-settling']
const OPERATIONS = ['supported', 'verify', 'settle']

const HONEST = { act: 'honest' }

export class Behaviour {
  #told = { supported: [], verify: [], settle: [] }

  /** Takes `{ operation, behaviours: [...], times, payer }`; returns what is wrong with it, or null. */
  tell({ operation, behaviours, times = null, payer = null }) {
    if (!OPERATIONS.includes(operation)) return `expected an operation of ${OPERATIONS}, found ${operation}`
    if (!Array.isArray(behaviours)) return 'expected a list of behaviours'
    for (const { act, when, kind } of behaviours) {
      if (!ACTS.includes(act)) return `expected an act of ${ACTS}, found ${act}`
      if (act === 'drop' && !DROPS.includes(when)) return `expected a moment of ${DROPS}, found ${when}`
      if (when === 'before-reading' && payer !== null) return 'expected no payer, who is not known before reading'
      if (act === 'nonsense' && !(kind in NONSENSE)) return `expected a kind of ${Object.keys(NONSENSE)}, found ${kind}`
    }
    this.#told[operation] = behaviours.map((behaviour) => ({ behaviour, payer, left: times ?? Infinity }))
    return null
  }

  reset() {
    for (const operation of OPERATIONS) this.#told[operation] = []
  }

  /** Whether the next call is to be dropped unread; if so, it is used up. */
  dropsUnread(operation) {
    const [first] = this.#told[operation]
    return first?.behaviour.when === 'before-reading' && this.next(operation, null) !== HONEST
  }

  /** The behaviour for a call of this payer. */
  next(operation, payer) {
    const told = this.#told[operation]
    const index = told.findIndex((entry) => entry.payer === null || entry.payer === payer)
    if (index < 0) return HONEST
    const entry = told[index]
    entry.left -= 1
    if (entry.left <= 0) told.splice(index, 1)
    return entry.behaviour
  }
}

/** Answers that no gateway may take for a verdict. Each of them looks like a yes to who reads carelessly. */
const NONSENSE = {
  html: { type: 'text/html', body: '<!doctype html><title>OK</title><p>isValid: true, success: true</p>' },
  text: { type: 'text/plain', body: 'OK' },
  shape: { type: 'application/json', body: '{"isValid":"true","success":"true","valid":true,"transaction":7}' },
  null: { type: 'application/json', body: 'null' },
  empty: { type: 'application/json', body: '' },
  truncated: { type: 'application/json', body: '{"isValid":true,"success":true,"transaction":"0x00' },
  // More than any honest answer, and well-formed to the end.
  megabytes: {
    type: 'application/json',
    body: `{"isValid":true,"success":true,"transaction":"0x00","extra":{"pad":"${'x'.repeat(8 << 20)}"}}`,
  },
}

export const nonsense = (kind) => NONSENSE[kind]

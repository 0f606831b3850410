// What a check of a payment says: good, with what the books need of it; or refused, with the reason a real facilitator
// gives.

import { createHash } from 'node:crypto'

/** A payment that this facilitator will not settle. `reason` is what `invalidReason` and `errorReason` say. */
export class Refused extends Error {
  constructor(reason, message, payer) {
    super(message)
    this.reason = reason
    this.payer = payer
  }
}

/** Refuses unless `condition` holds. */
export function demand(condition, reason, message, payer) {
  if (!condition) throw new Refused(reason, message, payer)
}

/** The id of a payment: SHA-256 in hex of what cannot be spelled another way. */
export function paymentId(...parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** An object, whose members are then safe to ask for. */
export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** A number of atomic units or seconds, as the wire has it: decimal digits and nothing else. */
export function decimal(value, name) {
  demand(
    typeof value === 'string' && /^(0|[1-9][0-9]{0,77})$/.test(value),
    'invalid_payload',
    `expected ${name} in decimal digits, found ${JSON.stringify(value)}`,
  )
  return BigInt(value)
}

// What tokens say, and how they are sent, whatever library writes and signs them.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'

/** What a good message for the gateway at `url` says, from now on for an hour; `changes` over it. Times are `Date`s. */
export function fieldsFor(url, changes = {}) {
  const now = Date.now()
  return {
    domain: new URL(url).host,
    uri: url,
    statement: 'Open the interface.',
    nonce: randomBytes(16).toString('hex'),
    issuedAt: new Date(now - 1000),
    expirationTime: new Date(now + 3600_000),
    ...changes,
  }
}

/** The value of `Authorization` for a signing text and its signature. */
export const authorization = (text, signature) => `SIWX ${Buffer.from(text, 'utf8').toString('base64')}.${signature}`

// Sign-ins and what becomes of them: what the session API promises, in memory.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'

import bs58 from 'bs58'
import nacl from 'tweetnacl'
import { recoverMessageAddress } from 'viem'

import { Refused } from './refused.js'
import { readText } from './texts.js'

const MESSAGE_AGE_MS = 10 * 60_000
const TTL_MS = 24 * 3600_000
const SKEW_MS = 30_000
const SESSIONS_MAX = 16

// Members of `data` that have to be those of the text, under the names that either has for them.
const AGREEING = ['domain', 'uri', 'nonce', 'issuedAt', 'expirationTime', 'notBefore']

export class Sessions {
  #nonces = new Map()
  #sets = new Map()

  /** `origins` whose messages are taken; `chains` and `labels` as the gateway is configured with. */
  constructor({ origins, chains, labels }) {
    Object.assign(this, { origins, chains, labels })
  }

  issueNonce() {
    const nonce = randomBytes(16).toString('hex')
    this.#nonces.set(nonce, Date.now() + MESSAGE_AGE_MS)
    return { nonce, expiresAt: new Date(Date.now() + MESSAGE_AGE_MS).toISOString() }
  }

  /** What is good of a cookie's set now. */
  of(id) {
    const now = new Date().toISOString()
    return (this.#sets.get(id) ?? []).filter(({ expiresAt }) => expiresAt > now)
  }

  /** Adds one and gives the cookie a new value. */
  async add(id, proof, from) {
    const same = this.of(id).find(({ message, signature }) => message === proof.message && signature === proof.signature)
    if (same) return { session: same, id: this.#put(id, this.of(id)) }
    const session = await this.#judge(proof, from)
    this.#claim([session])
    return { session, id: this.#put(id, [...this.of(id).filter((other) => other.account !== session.account), session]) }
  }

  /** Replaces all of them, or none. */
  async replace(id, proofs, from) {
    if (!Array.isArray(proofs)) throw new Refused(400, 'bad_request', 'expected a list of sessions')
    if (proofs.length > SESSIONS_MAX) throw new Refused(400, 'too_many_sessions', `expected at most ${SESSIONS_MAX} sessions`)
    const sessions = await Promise.all(
      proofs.map((proof, index) =>
        this.#judge(proof, from).catch((error) => {
          throw Object.assign(error, { index })
        }),
      ),
    )
    if (new Set(sessions.map(({ account }) => account)).size < sessions.length) {
      throw new Refused(400, 'duplicate_session', 'expected each account once')
    }
    this.#claim(sessions)
    return { sessions, id: this.#put(id, sessions) }
  }

  remove(id, chainId, address) {
    const rest = this.of(id).filter((session) => !isPair(session, chainId, address))
    this.#sets.set(id, rest)
    return rest.length
  }

  end(id) {
    this.#sets.delete(id)
  }

  async #judge({ data, message, signature }, from) {
    const text = readText(message)
    this.#checkText(text, from)
    for (const name of AGREEING) {
      if ((data?.[name] ?? undefined) !== text[name]) throw new Refused(400, 'data_mismatch', `\`${name}\` of data is not that of the message`)
    }
    if (!isPair(text, data.chainId, data.accountAddress)) {
      throw new Refused(400, 'data_mismatch', 'account or chain of data is not that of the message')
    }
    if (!(await isSignedBy(text.address, message, signature))) {
      throw new Refused(401, 'invalid_signature', 'the signature is not by the account of the message')
    }
    const ends = this.#nonces.get(text.nonce)
    if (ends === undefined || ends < Date.now()) throw new Refused(401, 'nonce_unknown', 'this nonce was not issued here, or too long ago')
    if (ends === Infinity) throw new Refused(401, 'nonce_reused', 'this nonce was used')

    const now = new Date()
    const expiresAt = new Date(Math.min(now.getTime() + TTL_MS, text.expirationTime ? Date.parse(text.expirationTime) : Infinity))
    return {
      id: randomBytes(8).toString('hex'),
      account: text.account,
      accountAddress: text.address,
      chainId: text.chainId,
      scheme: text.chainId.startsWith('eip155:') ? 'eip191' : 'ed25519',
      nonce: text.nonce,
      createdAt: now.toISOString(),
      expiresAt: expiresAt.toISOString(),
      ...{ data, message, signature },
    }
  }

  #checkText(text, from) {
    const origin = this.origins.find((origin) => new URL(origin).host === text.domain)
    if (!origin) throw new Refused(400, 'domain_mismatch', `the message is for \`${text.domain}\`, which is not served here`)
    if (from !== undefined && new URL(from).host !== text.domain) {
      throw new Refused(400, 'domain_mismatch', `the message is for \`${text.domain}\`, and came from \`${new URL(from).host}\``)
    }
    if (!URL.canParse(text.uri) || new URL(text.uri).origin !== origin) {
      throw new Refused(400, 'uri_mismatch', "the message's URI is for another origin than its domain")
    }
    const [family] = text.chainId.split(':')
    if (!this.labels[family].includes(text.label) && !this.labels[family].includes('*')) {
      throw new Refused(403, 'label_not_allowed', `\`${text.label}\` is not accepted here`)
    }
    if (!this.chains.includes(text.chainId) && !this.chains.includes(`${family}:*`)) {
      throw new Refused(403, 'chain_not_allowed', `\`${text.chainId}\` is not accepted here; accepted are ${this.chains.join(', ')}`)
    }
    const now = Date.now()
    if (Date.parse(text.issuedAt) > now + SKEW_MS) throw new Refused(400, 'issued_in_future', 'the message begins later; check the clock')
    if (Date.parse(text.issuedAt) < now - MESSAGE_AGE_MS) throw new Refused(401, 'issued_too_long_ago', 'the message was issued too long ago')
    if (text.expirationTime && Date.parse(text.expirationTime) <= now) throw new Refused(401, 'expired', 'the message has expired')
    if (text.notBefore && Date.parse(text.notBefore) > now + SKEW_MS) throw new Refused(401, 'not_yet_valid', 'the message begins later')
  }

  #claim(sessions) {
    for (const { nonce } of sessions) this.#nonces.set(nonce, Infinity)
  }

  #put(old, sessions) {
    const id = randomBytes(16).toString('hex')
    this.#sets.delete(old)
    this.#sets.set(id, sessions)
    return id
  }
}

/** Whether a session is of this chain and address. EVM addresses have any letter case. */
export function isPair({ chainId, address, accountAddress = address }, chain, wanted) {
  const plain = (text) => (chainId.startsWith('eip155:') ? text?.toLowerCase() : text)
  return chainId === chain && plain(accountAddress) === plain(wanted)
}

async function isSignedBy(address, message, signature) {
  try {
    if (address.startsWith('0x')) {
      return (await recoverMessageAddress({ message, signature })).toLowerCase() === address.toLowerCase()
    }
    return nacl.sign.detached.verify(Buffer.from(message), bs58.decode(signature), bs58.decode(address))
  } catch {
    return false
  }
}

// The endpoints of AppKit's own class for Reown's service (sessions.md section 3): the same sessions, carried by a token
// that the browser keeps.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'

import { Refused } from './refused.js'

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

export class Reown {
  #nonceTokens = new Map()
  #tokens = new Map()
  #metadata = new Map()

  constructor(sessions) {
    this.sessions = sessions
  }

  /** The JSON of an answer, or nothing. Errors are short plain text. */
  async answer(method, key, { headers, query, body, from }) {
    switch (`${method} ${key}`) {
      case 'GET nonce': {
        const { nonce } = this.sessions.issueNonce()
        const token = jwt({ nonce })
        this.#nonceTokens.set(token, nonce)
        return { nonce, token }
      }
      case 'POST authenticate':
        return { token: await this.#authenticate(headers['x-nonce-jwt'], body, from) }
      case 'GET me': {
        const claims = this.#claims(headers)
        if (query.get('includeAppKitAccount') !== 'true') return claims
        const metadata = this.#metadata.get(claims.sub) ?? null
        return { ...claims, appKitAccount: { uuid: claims.profileUuid, caip2_chain: claims.caip2Network, address: claims.address, metadata } }
      }
      case 'PUT account-metadata':
        this.#metadata.set(this.#claims(headers).sub, body.metadata)
        return {}
      case 'POST sign-out':
        this.#tokens.delete(bearer(headers))
        return {}
      case 'POST otp':
      case 'PUT otp':
        throw new Refused(404, 'no_route', 'email capture is not enabled')
      default:
        throw new Refused(404, 'no_route', 'there is nothing at this path')
    }
  }

  async #authenticate(nonceToken, { data, message, signature }, from) {
    const nonce = this.#nonceTokens.get(nonceToken?.replace(/^Bearer /, ''))
    if (nonce === undefined) throw new Refused(401, 'nonce_unknown', 'expected a nonce token of this gateway')
    if (data?.nonce !== nonce) throw new Refused(401, 'nonce_unknown', 'the nonce token is for another message')
    const { session } = await this.sessions.add(undefined, { data, message, signature }, from)
    const [namespace, reference] = session.chainId.split(':')
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      ...{ aud: data.domain, iss: 'mock', iat: now, exp: now + 3600, sub: `did:pkh:${session.account}` },
      ...{ address: session.accountAddress, chainId: namespace === 'eip155' ? Number(reference) : reference },
      ...{ chainNamespace: namespace, caip2Network: session.chainId, uri: data.uri, domain: data.domain, nonce },
      ...{ projectIdKey: '', projectUuid: '', profileUuid: session.account },
    }
    const token = jwt(claims)
    this.#tokens.set(token, claims)
    return token
  }

  #claims(headers) {
    const claims = this.#tokens.get(bearer(headers))
    if (!claims) throw new Refused(401, 'unauthenticated', 'expected a session token')
    return claims
  }
}

const bearer = (headers) => headers.authorization?.replace(/^Bearer /, '')

// Tokens are known by heart here, so that any bytes will do for a signature.
const jwt = (claims) => [base64url({ alg: 'EdDSA', typ: 'JWT' }), base64url(claims), randomBytes(32).toString('base64url')].join('.')

// What a refusal looks like, whatever it is for.

import assert from 'node:assert/strict'

import { domain, parseChallenge } from './client.js'

/** Asserts a refusal that the upstream never heard of, and returns its body. */
export function assertRefused(answer, status, code) {
  assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body))
  assert.equal(answer.headers['x-echo'], undefined)
  assert.match(answer.headers['content-type'], /^application\/problem\+json/)
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.body.status, status)
  assert.equal(answer.body.request_id, answer.headers['x-request-id'])
  return answer.body
}

/** Asserts a refused token: its reason in the body, and again in the challenge. */
export function assertInvalidToken(answer, reason) {
  const body = assertRefused(answer, 401, 'invalid_token')
  assert.deepEqual([body.error, body.reason], ['invalid_token', reason], body.detail)
  assert.deepEqual(parseChallenge(answer.headers['www-authenticate']), {
    scheme: 'SIWX',
    realm: domain,
    error: 'invalid_token',
    error_description: reason,
  })
}

// What upstreams make of assertions: those of the gateway are taken, and whatever else comes in their place is not.
//
// Each scenario runs for both upstreams. They are asked through the gateway, and without it, as somebody would who is
// inside the network already and has seen what others were told.

import assert from 'node:assert/strict'
import { createHmac, createPublicKey, randomUUID } from 'node:crypto'
import http from 'node:http'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'

import { SignJWT, base64url, decodeJwt, decodeProtectedHeader, generateKeyPair } from 'jose'
import { privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'

import { ask, authorization, domain, fields, url, wallet } from '../node/client.js'

const { algorithm, sessions, upstreams } = JSON.parse(process.env.ASSERTION_TARGET)
const alice = wallet('alice')
const account = privateKeyToAccount(`0x${alice.secret.toString('hex')}`)

async function token() {
  const { domain, uri, statement, nonce, issuedAt, expirationTime } = fields()
  const message = createSiweMessage({
    address: account.address,
    chainId: 1,
    version: '1',
    ...{ domain, uri, statement, nonce, issuedAt, expirationTime },
  })
  return authorization(message, await account.signMessage({ message }))
}

/** Asks an upstream past the gateway. */
function askUpstream(name, method, path, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${upstreams[name]}${path}`, { method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece) => (text += piece))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }))
    })
    request.on('error', reject)
    request.end()
  })
}

const withAssertion = (name, path, assertion, method = 'GET') =>
  askUpstream(name, method, path, { 'x-siwx-assertion': assertion })

/** An assertion of the gateway for this path, seconds old. */
async function made(name, path = `/${name}/orders`) {
  const answer = await ask(path, { authorization: await token() })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

async function published() {
  const answer = await ask('/.siwx/jwks.json')
  assert.equal(answer.status, 200)
  return answer.body.keys
}

for (const name of Object.keys(upstreams)) {
  describe(`${algorithm}, an upstream in ${name}`, () => {
    test('knows who asks', async () => {
      const { claims, assertion } = await made(name, `/${name}/orders?page=2`)
      assert.equal(decodeProtectedHeader(assertion).alg, algorithm)
      const { iat, nbf, exp, jti, ...said } = claims
      assert.deepEqual([nbf - iat, exp - iat, jti.length], [0, 5, 32])
      assert.deepEqual(said, {
        typ: 'siwx-assertion',
        iss: url,
        aud: [`for-${name}`, name],
        sub: `did:pkh:${alice.account}`,
        account: alice.account,
        accounts: [alice.account],
        chainId: 1,
        caip2Network: 'eip155:1',
        scheme: 'eip191',
        htm: 'GET',
        htu: `${url}/${name}/orders`,
      })
    })

    test('is told nothing on a public route, whatever a client says', async () => {
      const { assertion } = await made(name)
      for (const field of ['x-siwx-assertion', 'X_SIWX_Assertion', 'x.siwx.assertion']) {
        const answer = await ask(`/public/${name}`, { [field]: assertion, authorization: await token() })
        assert.deepEqual([answer.status, answer.body.assertion ?? null], [401, null], field)
      }
    })

    test('takes an assertion once more for the same request alone', async () => {
      const path = `/${name}/orders`
      const { assertion } = await made(name, path)
      // The binding says so, and nothing less: who needs more keeps the ids.
      assert.equal((await withAssertion(name, path, assertion)).status, 200)
      const others = [
        ['POST', path],
        ['GET', `/${name}/orders/2`],
        ['GET', `/${name}`],
      ]
      for (const [method, other] of others) {
        const answer = await withAssertion(name, other, assertion, method)
        assert.equal(answer.status, 401, `${method} ${other}`)
        assert.match(answer.body.error, /not for this request/)
      }
    })

    test("refuses another upstream's", async () => {
      const other = Object.keys(upstreams).find((other) => other !== name)
      const { assertion } = await made(other)
      const answer = await withAssertion(name, `/${other}/orders`, assertion)
      assert.equal(answer.status, 401)
      assert.match(answer.body.error, /aud/i)
    })

    test('refuses one that was changed', async () => {
      const path = `/${name}/orders`
      const { assertion } = await made(name, path)
      const [header, , signature] = assertion.split('.')
      const claims = { ...decodeJwt(assertion), account: 'eip155:1:0x0000000000000000000000000000000000000001' }
      const payload = base64url.encode(JSON.stringify(claims))
      const changed = [
        `${header}.${payload}.${signature}`,
        `${assertion.slice(0, -6)}AAAAAA`,
        assertion.slice(0, -1),
        `${header}..${signature}`,
        `${base64url.encode(JSON.stringify({ alg: 'none', typ: 'JWT' }))}.${payload}.`,
        '',
        'x',
      ]
      for (const forged of changed) {
        assert.equal((await withAssertion(name, path, forged)).status, 401, forged)
      }
    })

    test('refuses one that others signed', async () => {
      const path = `/${name}/orders`
      const { assertion } = await made(name, path)
      const claims = decodeJwt(assertion)
      const { kid } = decodeProtectedHeader(assertion)
      for (const alg of ['EdDSA', 'ES256']) {
        const { privateKey } = await generateKeyPair(alg, alg === 'EdDSA' ? { crv: 'Ed25519' } : {})
        for (const named of [kid, randomUUID(), undefined]) {
          const forged = await new SignJWT(claims).setProtectedHeader({ alg, kid: named, typ: 'JWT' }).sign(privateKey)
          assert.equal((await withAssertion(name, path, forged)).status, 401, `${alg} by ${named}`)
        }
      }
      // What is public is no secret to sign with (RFC 8725 section 2.1).
      const key = (await published()).find((key) => key.kid === kid)
      const secrets = [
        key.x,
        base64url.decode(key.x),
        createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' }),
      ]
      for (const secret of secrets) {
        const header = base64url.encode(JSON.stringify({ alg: 'HS256', kid, typ: 'JWT' }))
        const signed = `${header}.${base64url.encode(JSON.stringify(claims))}`
        const forged = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
        assert.equal((await withAssertion(name, path, forged)).status, 401)
      }
    })

    test('refuses one that is over', async () => {
      const path = `/${name}/orders`
      const { assertion, claims } = await made(name, path)
      let answer
      do {
        await setTimeout(100)
        answer = await withAssertion(name, path, assertion)
      } while (answer.status === 200 && Date.now() < (claims.exp + 10) * 1000)
      assert.ok(Date.now() >= claims.exp * 1000)
      assert.equal(answer.status, 401)
      assert.match(answer.body.error, /exp/i)
    })
  })
}

test(`${algorithm}: only public halves are published`, async () => {
  const keys = await published()
  assert.deepEqual(
    keys.map((key) => key.alg),
    sessions ? ['EdDSA'] : [algorithm],
  )
  for (const key of keys) {
    assert.deepEqual(Object.keys(key).filter((member) => ['d', 'k', 'p', 'q', 'dp', 'dq', 'qi'].includes(member)), [])
  }
})

test(`${algorithm}: a session's token is no assertion, although one key signs both`, { skip: !sessions }, async () => {
  const { nonce } = (await ask('/.siwx/nonce')).body
  const message = createSiweMessage({
    ...{ address: account.address, chainId: 1, version: '1', domain, uri: url, nonce, issuedAt: new Date() },
  })
  const data = {
    ...{ accountAddress: account.address, chainId: 'eip155:1', domain, uri: url, version: '1', nonce },
    issuedAt: /^Issued At: (.*)$/m.exec(message)[1],
  }
  const body = JSON.stringify({ data, message, signature: await account.signMessage({ message }) })
  const answer = await fetch(`${url}/.siwx/sessions`, { method: 'POST', headers: { origin: url }, body })
  const signedIn = await answer.json()
  assert.equal(answer.status, 201, JSON.stringify(signedIn))
  for (const name of Object.keys(upstreams)) {
    const path = `/${name}/orders`
    assert.equal((await withAssertion(name, path, signedIn.token)).status, 401)
    const through = await ask(path, { authorization: `Bearer ${signedIn.token}` })
    assert.equal(through.status, 200, JSON.stringify(through.body))
    assert.equal(through.body.claims.sid, signedIn.session.id)
  }
})

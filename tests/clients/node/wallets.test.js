// Every wallet library signs as an application would, and the gateway answers as it promises.
//
// A library that can write the signing text writes it; for ethers, which cannot, the text is written here from
// ERC-4361. Each row below is a library; each test of the row is one thing that may be right or wrong with a token.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { describe, test } from 'node:test'

import { createSignInMessageText } from '@solana/wallet-standard-util'
import bs58 from 'bs58'
import { Wallet } from 'ethers'
import { SiweMessage } from 'siwe'
import nacl from 'tweetnacl'
import { privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'

import { ask, askHttp2, authorization, domain, expirationOf, fields, fromNow, parseChallenge, url, wallet } from './client.js'
import { assertInvalidToken, assertRefused } from './verdicts.js'

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const iso = (fields) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]))

/** ERC-4361's text by hand: what a client without a library for it writes. */
function erc4361(address, { domain, uri, statement, nonce, issuedAt, expirationTime, notBefore, chainId }) {
  const lines = [
    `${domain} wants you to sign in with your Ethereum account:`,
    ...[address, '', statement, ''],
    ...[`URI: ${uri}`, 'Version: 1', `Chain ID: ${chainId}`, `Nonce: ${nonce}`, `Issued At: ${issuedAt}`],
    ...(expirationTime ? [`Expiration Time: ${expirationTime}`] : []),
    ...(notBefore ? [`Not Before: ${notBefore}`] : []),
  ]
  return lines.join('\n')
}

const ethereum = {
  subscribed: 'alice',
  unsubscribed: 'bob',
  chain: 'eip155:8453',
  scheme: 'eip191',
}

const solana = {
  subscribed: 'carol',
  unsubscribed: 'dave',
  chain: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  scheme: 'ed25519',
  write: ({ address }, said) => createSignInMessageText({ address, version: '1', chainId: 'mainnet', ...iso(said) }),
}
const ed25519 = ({ secret }, text) => nacl.sign.detached(Buffer.from(text), nacl.sign.keyPair.fromSeed(secret).secretKey)

const libraries = [
  {
    ...ethereum,
    name: 'viem',
    write: ({ address }, said) => createSiweMessage({ address, version: '1', chainId: 8453, ...said }),
    sign: ({ secret }, text) => privateKeyToAccount(`0x${hex(secret)}`).signMessage({ message: text }),
  },
  {
    ...ethereum,
    name: 'siwe, signed by ethers',
    write: ({ address }, said) => new SiweMessage({ address, version: '1', chainId: 8453, ...iso(said) }).prepareMessage(),
    sign: ({ secret }, text) => new Wallet(`0x${hex(secret)}`).signMessage(text),
  },
  {
    ...ethereum,
    name: 'ethers, text by hand',
    write: ({ address }, said) => erc4361(address, { chainId: 8453, ...iso(said) }),
    sign: ({ secret }, text) => new Wallet(`0x${hex(secret)}`).signMessage(text),
  },
  {
    ...solana,
    name: 'wallet-standard-util and tweetnacl, base58',
    sign: (wallet, text) => bs58.encode(ed25519(wallet, text)),
  },
  { ...solana, name: 'wallet-standard-util and tweetnacl, hex', sign: (wallet, text) => hex(ed25519(wallet, text)) },
  {
    ...solana,
    name: 'wallet-standard-util and tweetnacl, base64',
    sign: (wallet, text) => Buffer.from(ed25519(wallet, text)).toString('base64'),
  },
]

/** Asserts that the upstream was asked, and was told who asks. */
function assertIdentified(answer, library, account) {
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  assert.equal(answer.headers['x-echo'], '1')
  const told = Object.entries(answer.body.headers).filter(([name]) => name.startsWith('x-siwx-'))
  assert.deepEqual(Object.fromEntries(told), {
    'x-siwx-account': [`${library.chain}:${account.address}`],
    'x-siwx-address': [account.address],
    'x-siwx-chain': [library.chain],
    // The subscription of 30 days outlives every token here.
    'x-siwx-expires': [new Date(expirationOf(answer.sent)).toISOString()],
    ...(account.granted_by && answer.body.path !== '/me' && { 'x-siwx-plan': ['default'] }),
    'x-siwx-scheme': [library.scheme],
  })
  assert.equal(answer.body.headers.authorization, undefined, 'the credential stays at the gateway')
}

/** Other tokens than good ones: what the message says instead, and why that is refused. */
const wrong = [
  ['for another domain', { domain: 'evil.example' }, 'domain_mismatch'],
  ['for another origin in its URI', { uri: 'https://evil.example' }, 'uri_mismatch'],
  ['that expired a second ago', { issuedAt: fromNow(-3600), expirationTime: fromNow(-1) }, 'expired'],
  ['that is not good before an hour from now', { notBefore: fromNow(3600), expirationTime: fromNow(7200) }, 'not_yet_valid'],
  ['issued in the future', { issuedAt: fromNow(600) }, 'issued_in_future'],
  ['that lives for eight days', { expirationTime: fromNow(8 * 86_400) }, 'lifetime_too_long'],
]

for (const library of libraries) {
  describe(library.name, () => {
    const subscribed = wallet(library.subscribed)
    const unsubscribed = wallet(library.unsubscribed)
    const token = async (account, changes) => {
      const text = library.write(account, fields(changes))
      return authorization(text, await library.sign(account, text))
    }

    test('a subscribed wallet is let in and named, on every request of its token', async () => {
      const good = await token(subscribed)
      for (const _ of ['cold', 'warm']) {
        assertIdentified(await ask('/v1/data?page=2', { authorization: good }), library, subscribed)
      }
      assertIdentified(await askHttp2('/v1/data', { authorization: good }), library, subscribed)
    })

    test('HTTP/2 is agreed on by ALPN', async () => {
      const answer = await askHttp2('/v1/data', { authorization: await token(subscribed) })
      assertIdentified(answer, library, subscribed)
      assert.equal(answer.protocol, 'h2')
    })

    test('a wallet without a subscription is known, and refused where one is needed', async () => {
      const good = await token(unsubscribed)
      assertIdentified(await ask('/me', { authorization: good }), library, unsubscribed)
      for (const asked of [ask, askHttp2]) {
        const answer = await asked('/v1/data', { authorization: good })
        assertRefused(answer, 403, 'subscription_required')
        assert.equal(answer.headers['www-authenticate'], undefined)
      }
    })

    for (const [name, changes, reason] of wrong) {
      test(`a token ${name} is refused`, async () => {
        const bad = await token(subscribed, changes)
        assertInvalidToken(await ask('/v1/data', { authorization: bad }), reason)
        assertInvalidToken(await askHttp2('/v1/data', { authorization: bad }), reason)
      })
    }

    test('a signature of another text is refused', async () => {
      const text = library.write(subscribed, fields())
      const other = text.replace('Open the interface.', 'Open the interfaces')
      assert.notEqual(other, text)
      const bad = authorization(text, await library.sign(subscribed, other))
      assertInvalidToken(await ask('/v1/data', { authorization: bad }), 'bad_signature')
    })

    test('a signature of another wallet is refused', async () => {
      const text = library.write(subscribed, fields())
      const bad = authorization(text, await library.sign(unsubscribed, text))
      assertInvalidToken(await ask('/v1/data', { authorization: bad }), 'bad_signature')
    })

    test('a good token does not vouch for one whose signature was changed', async () => {
      const good = await token(subscribed)
      assertIdentified(await ask('/v1/data', { authorization: good }), library, subscribed)
      // A digit in the middle, which stays one of its alphabet.
      const place = good.indexOf('.') + 30
      const bad = good.slice(0, place) + (good[place] === '4' ? '5' : '4') + good.slice(place + 1)
      const answer = await ask('/v1/data', { authorization: bad })
      assertRefused(answer, 401, 'invalid_token')
      assert.equal(answer.body.reason, 'bad_signature')
    })

    test('a token of a page that is trusted is good here', async () => {
      const page = { domain: 'dapp.example.test', uri: 'https://dapp.example.test' }
      assertIdentified(await ask('/v1/data', { authorization: await token(subscribed, page) }), library, subscribed)
    })
  })
}

describe('spellings', () => {
  const alice = wallet('alice')
  const signer = new Wallet(`0x${hex(alice.secret)}`)
  const asked = async (text, signature) => ask('/v1/data', { authorization: authorization(text, signature) })

  const seconds = (date) => date.toISOString().replace(/\.\d{3}Z$/, 'Z')
  const micros = (date) => date.toISOString().replace(/(\.\d{3})Z$/, '$1321+00:00')
  for (const [name, spelled] of [
    ['JavaScript', (date) => date.toISOString()],
    ['Go', seconds],
    ['Python', micros],
    ['Python at a whole second', (date) => seconds(date).replace('Z', '+00:00')],
    ['a clock east of Greenwich', (date) => seconds(new Date(+date + 5.5 * 3600_000)).replace('Z', '+05:30')],
  ]) {
    test(`times as ${name} writes them`, async () => {
      const said = fields()
      const times = { issuedAt: spelled(said.issuedAt), expirationTime: spelled(said.expirationTime) }
      const text = erc4361(alice.address, { chainId: 8453, ...said, ...times })
      assertIdentified(await asked(text, await signer.signMessage(text)), ethereum, alice)
      const over = { ...times, issuedAt: spelled(fromNow(-7200)), expirationTime: spelled(fromNow(-60)) }
      const expired = erc4361(alice.address, { chainId: 8453, ...said, ...over })
      assertInvalidToken(await asked(expired, await signer.signMessage(expired)), 'expired')
    })
  }

  test('an address in lower case is told to the upstream in its canonical form', async () => {
    const text = erc4361(alice.address.toLowerCase(), { chainId: 8453, ...iso(fields()) })
    assertIdentified(await asked(text, await signer.signMessage(text)), ethereum, alice)
  })

  test('a recovery id of 0 or 1 says the same as 27 or 28', async () => {
    const text = erc4361(alice.address, { chainId: 8453, ...iso(fields()) })
    const signature = await signer.signMessage(text)
    const parity = Number.parseInt(signature.slice(-2), 16) - 27
    assertIdentified(await asked(text, `${signature.slice(0, -2)}0${parity}`), ethereum, alice)
    assertInvalidToken(await asked(text, `${signature.slice(0, -2)}0${1 - parity}`), 'bad_signature')
  })

  test('base64 for URLs, without padding, is the same token', async () => {
    const text = erc4361(alice.address, { chainId: 8453, ...iso(fields({ statement: 'Why? Because~~~ >>>???' })) })
    const token = `${Buffer.from(text).toString('base64url')}.${await signer.signMessage(text)}`
    assertIdentified(await ask('/v1/data', { authorization: `siwx ${token}` }), ethereum, alice)
  })
})

describe('without a token', () => {
  test('the challenge names the scheme and the realm', async () => {
    const answer = await ask('/v1/data')
    assertRefused(answer, 401, 'credential_required')
    assert.deepEqual(parseChallenge(answer.headers['www-authenticate']), { scheme: 'SIWX', realm: domain })
  })

  test('a public route is open, and an identity that a client claims does not pass', async () => {
    const claimed = { 'x-siwx-address': wallet('alice').address, 'x_siwx_account': wallet('alice').account }
    for (const asked of [ask, askHttp2]) {
      const answer = await asked('/status', claimed)
      assert.equal(answer.status, 200)
      assert.deepEqual(Object.keys(answer.body.headers).filter((name) => /siwx/.test(name)), [])
      assert.deepEqual(answer.body.headers['x-forwarded-proto'], ['https'])
    }
  })

  test('what is no token is malformed, whatever it is', async () => {
    for (const value of ['SIWX', 'SIWX .', 'SIWX aGV5.', 'SIWX %%%.0x00', `SIWX ${'A'.repeat(4096)}`]) {
      assertInvalidToken(await ask('/v1/data', { authorization: value }), 'malformed')
    }
  })

  test('the built-in fetch is a client too', async () => {
    const answer = await fetch(`${url}/status`)
    assert.equal(answer.status, 200)
    assert.equal((await answer.json()).path, '/status')
  })
})

// What the tests of this folder share: wallets, what a message says, and requests over TLS.

import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'

import { fieldsFor } from './texts.js'

export { authorization } from './texts.js'

export const url = process.env.SIWX_URL
export const domain = new URL(url).host

const wallets = JSON.parse(readFileSync(process.env.SIWX_WALLETS, 'utf8'))

/** The wallet of this name: its account, address and secret key of 32 bytes. */
export function wallet(name) {
  const found = wallets.find((wallet) => wallet.name === name)
  const address = found.account.split(':')[2]
  return { ...found, address, secret: Buffer.from(found.secret, 'hex') }
}

/** What a good message says, from now on for an hour; `changes` over it. Times are `Date`s. */
export const fields = (changes = {}) => fieldsFor(url, changes)

/** A moment so many seconds from now. */
export const fromNow = (seconds) => new Date(Date.now() + seconds * 1000)

/** The `Expiration Time` of the message in a value that `authorization` made. */
export function expirationOf(value) {
  const text = Buffer.from(value.slice('SIWX '.length).split('.')[0], 'base64').toString('utf8')
  return /^Expiration Time: (.*)$/m.exec(text)[1]
}

/**
 * Asks over HTTP/1.1, from this address of loopback. The answer's body is read as JSON; `sent` is the credential it
 * answers.
 */
export function ask(path, headers = {}, localAddress = undefined) {
  return new Promise((resolve, reject) => {
    const request = https.get(`${url}${path}`, { headers, localAddress, agent: false }, (response) => {
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (piece) => (text += piece))
      response.on('error', reject)
      response.on('end', () => {
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: JSON.parse(text),
          sent: headers.authorization,
        })
      })
    })
    request.on('error', reject)
  })
}

/** Asks over HTTP/2 on a connection of its own. */
export async function askHttp2(path, headers = {}) {
  const session = http2.connect(url)
  try {
    return await new Promise((resolve, reject) => {
      session.on('error', reject)
      const stream = session.request({ ':path': path, ...headers })
      stream.setEncoding('utf8')
      let head
      let text = ''
      stream.on('response', (fields) => (head = fields))
      stream.on('data', (piece) => (text += piece))
      stream.on('error', reject)
      stream.on('end', () =>
        resolve({
          status: head[':status'],
          headers: head,
          body: JSON.parse(text),
          sent: headers.authorization,
          protocol: session.alpnProtocol,
        }),
      )
      stream.end()
    })
  } finally {
    session.close()
  }
}

/** Takes `WWW-Authenticate` apart: one challenge with quoted parameters (RFC 9110 §11.6.1). */
export function parseChallenge(value) {
  const whole = /^([A-Za-z0-9]+) ((?:[a-z_]+="[^"\\]*")(?:, [a-z_]+="[^"\\]*")*)$/.exec(value)
  if (whole === null) throw new Error(`expected one challenge with quoted parameters, found ${value}`)
  const parameters = [...whole[2].matchAll(/([a-z_]+)="([^"\\]*)"/g)].map(([, name, text]) => [name, text])
  return { scheme: whole[1], ...Object.fromEntries(parameters) }
}

// An upstream in Node that takes no request without the gateway's word for who it is. `whoIs` is what the README shows.
//
// It answers with the claims, or with 401 and why not; and with the assertion itself, which no real upstream would give
// away: the scenarios change it and come back.

import http from 'node:http'

import { createRemoteJWKSet, jwtVerify } from 'jose'

const gateway = process.env.SIWX_URL
const keys = createRemoteJWKSet(new URL(`${gateway}/.siwx/jwks.json`))

async function whoIs(request) {
  const { payload } = await jwtVerify(request.headers['x-siwx-assertion'] ?? '', keys, {
    issuer: gateway,
    audience: 'node',
    algorithms: ['EdDSA', 'ES256'],
  })
  const url = gateway + request.url.split('?')[0]
  if (payload.typ !== 'siwx-assertion' || payload.htm !== request.method || payload.htu !== url) {
    throw new Error('not for this request')
  }
  return payload
}

const server = http.createServer(async (request, response) => {
  const assertion = request.headers['x-siwx-assertion']
  let answer
  try {
    answer = { status: 200, claims: await whoIs(request), assertion }
  } catch (error) {
    answer = { status: 401, error: `${error.code ?? ''} ${error.message}`, assertion }
  }
  response.writeHead(answer.status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(answer))
})
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})

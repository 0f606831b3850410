// What AppKit does with a SIWX backend, done with AppKit's own packages (sessions.md section 4): a row of the table is a
// `flow` here, and each is named at the end of the run.

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'

import { BASE, Browser, ETHEREUM, SOLANA, evmWallet, importModule, openPage, solanaWallet, startGateway } from './dapp.js'

const fetch = globalThis.fetch
const NETWORKS = [ETHEREUM, BASE, SOLANA]
// The rows of the table, in its order.
const FLOWS = [
  'connect (extension)',
  'page reload, cookie alive',
  'network or account change',
  'user refuses, required',
  'WalletConnect, EVM only',
  'e-mail / social',
  'disconnect',
]
const flows = new Map()
// What AppKit logs of the failures that are made here.
const error = console.error

let gateway, createSIWX, GatewayError, utils
let SIWXUtil, DefaultSIWX, EIP155Verifier, SolanaVerifier
let startAppKit, connect, shown
let browser, siwx, wallet

before(async () => {
  gateway = await startGateway()
  ;({ createSIWX, GatewayError } = await importModule(gateway.url))
  openPage()
  ;({ SIWXUtil } = await import('@reown/appkit-controllers'))
  ;({ DefaultSIWX, EIP155Verifier, SolanaVerifier } = await import('@reown/appkit-siwx'))
  utils = await import('@walletconnect/utils')
  ;({ startAppKit, connect, shown } = await import('./appkit.js'))
  console.error = () => {}
})

after(async () => {
  console.error = error
  await gateway.close()
  const names = [...flows.keys()]
  assert.deepEqual(names, FLOWS)
  for (const [name, { run, failed }] of flows) {
    if (run > 0 && failed === 0) console.log(`flow: ${name} (${run} tests)`)
  }
})

/** Tests of a row of the table. */
function flow(name, declare) {
  const counts = { run: 0, failed: 0 }
  flows.set(name, counts)
  describe(name, () => {
    declare((title, run) =>
      test(title, async (context) => {
        counts.run++
        counts.failed++
        await run(context)
        counts.failed--
      }),
    )
  })
}

beforeEach(() => {
  browser = new Browser(gateway.url, fetch)
  browser.open()
  siwx = createSIWX({ gateway: gateway.url, networks: NETWORKS })
  wallet = evmWallet()
  startAppKit(siwx, NETWORKS, wallet)
})

/** AppKit finds nobody signed in, shows its view, and the person signs there. */
async function signInByView() {
  await SIWXUtil.initializeIfEnabled()
  assert.deepEqual(shown, ['SIWXSignMessage'])
  await SIWXUtil.requestSignMessage()
  assert.deepEqual(shown, ['SIWXSignMessage', 'SIWX_AUTH_SUCCESS'])
  shown.length = 0
}

test('the module has all that AppKit calls, and the parts of its own class', () => {
  const theirs = new DefaultSIWX({})
  for (const name of ['createMessage', 'addSession', 'setSessions', 'getSessions', 'revokeSession', 'getRequired']) {
    assert.equal(typeof siwx[name], typeof theirs[name], name)
  }
  assert.equal(siwx.signOutOnDisconnect, true)
  assert.equal(siwx.getRequired(), true)
  const lax = createSIWX({ gateway: gateway.url, required: false, signOutOnDisconnect: false })
  assert.deepEqual([lax.getRequired(), lax.signOutOnDisconnect], [false, false])
})

flow('connect (extension)', (test) => {
  test('asks, signs, and is signed in', async () => {
    assert.equal(await SIWXUtil.isAuthenticated(), false)
    assert.deepEqual(browser.asked, ['GET /.siwx/sessions'])
    assert.deepEqual(browser.statuses, [200], 'AppKit disconnects the wallet of whoever is told 401')
    await signInByView()
    assert.equal(await SIWXUtil.isAuthenticated(), true)
    assert.ok(browser.signedIn)
    assert.ok(browser.statuses.every((status) => status < 300))
  })

  test('of Solana, too', async () => {
    wallet = solanaWallet()
    startAppKit(siwx, [SOLANA, ETHEREUM], wallet)
    await signInByView()
    assert.equal(await SIWXUtil.isAuthenticated(), true)
  })

  test('with the label of wallets, when the dapp lists no networks', async () => {
    siwx = createSIWX({ gateway: gateway.url })
    startAppKit(siwx, [BASE], wallet)
    await signInByView()
    const [{ message }] = await siwx.getSessions('eip155:8453', wallet.address)
    assert.match(message, /with your Ethereum account:/)
  })

  test('message and signature come back unchanged, and AppKit verifies them again', async () => {
    await signInByView()
    const [session] = await siwx.getSessions('eip155:1', wallet.address)
    assert.equal(session.data.accountAddress, wallet.address)
    assert.equal(await new EIP155Verifier().verify(session), true)

    const other = solanaWallet()
    startAppKit(siwx, [SOLANA], other)
    await signInByView()
    const [second] = await siwx.getSessions(SOLANA.caipNetworkId, other.address)
    assert.equal(await new SolanaVerifier().verify(second), true)
  })

  test('addresses of EVM chains are the same in any letter case, those of Solana are not', async () => {
    await signInByView()
    for (const address of [wallet.address, wallet.address.toLowerCase()]) {
      assert.equal((await siwx.getSessions('eip155:1', address)).length, 1, address)
    }
    const other = solanaWallet()
    startAppKit(siwx, [SOLANA], other)
    await signInByView()
    assert.equal((await siwx.getSessions(SOLANA.caipNetworkId, other.address)).length, 1)
    assert.equal((await siwx.getSessions(SOLANA.caipNetworkId, other.address.toLowerCase())).length, 0)
  })
})

flow('page reload, cookie alive', (test) => {
  test('asks for nothing', async () => {
    await signInByView()
    siwx = createSIWX({ gateway: gateway.url })
    startAppKit(siwx, NETWORKS, wallet)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, [])
    assert.equal(await SIWXUtil.isAuthenticated(), true)
  })

  test('asks anew when the cookie is gone', async () => {
    await signInByView()
    new Browser(gateway.url, fetch).open()
    startAppKit(siwx, NETWORKS, wallet)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, ['SIWXSignMessage'])
  })
})

flow('network or account change', (test) => {
  test('a change of the network asks anew, and the old one stays good', async () => {
    await signInByView()
    connect(BASE, wallet)
    await signInByView()
    for (const network of [ETHEREUM, BASE]) {
      assert.equal((await siwx.getSessions(network.caipNetworkId, wallet.address)).length, 1, network.name)
    }
  })

  test('back on a network that is signed in, nothing is asked for', async () => {
    await signInByView()
    connect(BASE, wallet)
    await signInByView()
    connect(ETHEREUM, wallet)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, [])
  })

  test('a change of the account asks anew, and the old one stays good', async () => {
    await signInByView()
    const other = evmWallet()
    startAppKit(siwx, NETWORKS, other)
    await signInByView()
    for (const { address } of [wallet, other]) assert.equal((await siwx.getSessions('eip155:1', address)).length, 1)
  })
})

test('all networks are asked for at once, with the address of one', async () => {
  await signInByView()
  const all = await SIWXUtil.getAllSessions()
  assert.equal(all.length, 1)
  assert.equal(browser.asked.filter((asked) => asked === 'GET /.siwx/sessions').length, 1 + NETWORKS.length)
})

flow('user refuses, required', (test) => {
  test('is disconnected where signing in is required', async () => {
    await SIWXUtil.initializeIfEnabled()
    await SIWXUtil.cancelSignMessage()
    assert.deepEqual(shown, ['SIWXSignMessage', 'disconnected'])
  })

  test('stays connected where it is not', async () => {
    startAppKit(createSIWX({ gateway: gateway.url, required: false }), NETWORKS, wallet)
    await SIWXUtil.initializeIfEnabled()
    await SIWXUtil.cancelSignMessage()
    assert.deepEqual(shown, ['SIWXSignMessage'])
  })

  test('on another network is led back to the one that is signed in', async () => {
    await signInByView()
    connect(BASE, wallet)
    await SIWXUtil.initializeIfEnabled()
    await SIWXUtil.cancelSignMessage()
    assert.equal(shown[0], 'SIWXSignMessage')
    // AppKit compares with the address that is active, which is the same.
    assert.equal(shown[1], 'switched to Ethereum')
    assert.equal(await SIWXUtil.isAuthenticated(), true)
  })

  test('in the wallet sees the view, and is not signed in', async () => {
    startAppKit(siwx, NETWORKS, { ...wallet, sign: async () => Promise.reject(new Error('rejected')) })
    await SIWXUtil.requestSignMessage()
    assert.deepEqual(shown, ['SIWXSignMessage', 'Error signing message', 'SIWX_AUTH_ERROR'])
    assert.ok(!browser.signedIn)
  })
})

flow('WalletConnect, EVM only', (test) => {
  /** A wallet that signs one CACAO for each chain, all with the nonce of the request. */
  function universalProvider(signer, change = (auths) => auths) {
    const client = { formatAuthMessage: ({ request, iss }) => utils.formatMessage(request, iss) }
    return {
      client,
      disconnected: false,
      async disconnect() {
        this.disconnected = true
      },
      async authenticate({ nonce, domain, uri, statement, resources, exp, nbf, version, chains, methods }) {
        const recap = utils.createEncodedRecap('eip155', 'request', methods)
        const shared = { domain, aud: uri, version, nonce, iat: new Date().toISOString(), exp, nbf }
        const payload = utils.populateAuthPayload({
          authPayload: { ...shared, type: 'caip122', chains, statement, resources: [...(resources ?? []), recap] },
          chains,
          methods,
        })
        const auths = []
        for (const chain of chains) {
          const iss = `did:pkh:${chain}:${wallet.address}`
          const { chains: _, type: __, methods: ___, ...request } = payload
          const message = utils.formatMessage(request, iss)
          auths.push(utils.buildAuthObject({ ...request }, { t: 'eip191', s: await signer.sign(message) }, iss))
        }
        return { auths: change(auths), session: { peer: { metadata: { name: 'Wallet', icons: [] } } } }
      },
    }
  }

  const authenticate = (provider, chains = ['eip155:1', 'eip155:8453']) =>
    SIWXUtil.universalProviderAuthenticate({ universalProvider: provider, chains, methods: ['personal_sign', 'eth_sendTransaction'] })

  test('signs in on all chains by one nonce', async () => {
    assert.equal(await authenticate(universalProvider(wallet)), true)
    for (const network of [ETHEREUM, BASE]) {
      const sessions = await siwx.getSessions(network.caipNetworkId, wallet.address)
      assert.equal(sessions.length, 1, network.name)
      assert.match(sessions[0].message, /\n- urn:recap:/)
    }
    assert.deepEqual(shown, ['SIWX_AUTH_SUCCESS'])
    assert.equal(browser.asked.filter((asked) => asked === 'GET /.siwx/nonce').length, 1)
  })

  test('signs in on none, when one signature is wrong, and old sessions stay', async () => {
    await signInByView()
    const provider = universalProvider(wallet, ([first, second]) => [first, { ...second, s: first.s }])
    await assert.rejects(authenticate(provider), (error) => {
      assert.ok(error instanceof GatewayError)
      assert.deepEqual([error.status, error.code, error.index], [401, 'invalid_signature', 1])
      return true
    })
    assert.ok(provider.disconnected)
    assert.equal((await siwx.getSessions('eip155:1', wallet.address)).length, 1)
    assert.equal((await siwx.getSessions('eip155:8453', wallet.address)).length, 0)
  })

  test('is not done with chains of two families, which are signed for one by one', async () => {
    assert.equal(await authenticate(universalProvider(wallet), ['eip155:1', SOLANA.caipNetworkId]), false)
    assert.deepEqual(browser.asked, [])
    await signInByView()
    const other = solanaWallet()
    startAppKit(siwx, [SOLANA, ETHEREUM], other)
    await signInByView()
    assert.equal((await siwx.getSessions('eip155:1', wallet.address)).length, 1)
    assert.equal((await siwx.getSessions(SOLANA.caipNetworkId, other.address)).length, 1)
  })
})

flow('e-mail / social', (test) => {
  /** The frame of such a wallet, which puts the address into the text that it is given. */
  const frame = (render = (text) => text) => ({
    async connect({ siwxMessage, chainId }) {
      const message = render(siwxMessage.serializedMessage.replace('<<AccountAddress>>', wallet.address))
      return { address: wallet.address, chainId, accounts: [], message, signature: await wallet.sign(message) }
    },
  })
  const authenticate = (authConnector) =>
    SIWXUtil.authConnectorAuthenticate({ authConnector, chainId: 1, chainNamespace: 'eip155', preferredAccountType: 'eoa' })

  test('sign a text that is made around a placeholder', async () => {
    await authenticate(frame())
    assert.equal(await SIWXUtil.isAuthenticated(), true)
    const [{ message }] = await siwx.getSessions('eip155:1', wallet.address)
    assert.match(message, new RegExp(`account:\n${wallet.address}\n`))
  })

  test('may hand in the same session twice', async () => {
    const made = await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })
    const message = made.toString()
    const signature = await wallet.sign(message)
    await Promise.all([SIWXUtil.addEmbeddedWalletSession(made, message, signature), SIWXUtil.addEmbeddedWalletSession(made, message, signature)])
    await siwx.addSession({ data: made, message, signature })
    assert.equal((await siwx.getSessions('eip155:1', wallet.address)).length, 1)

    // What a browser without the cookie hands in is a copy of somebody's.
    const stranger = new Browser(gateway.url, fetch)
    stranger.open()
    await assert.rejects(siwx.addSession({ data: made, message, signature }), { status: 401, code: 'nonce_reused' })
    assert.ok(!stranger.signedIn)
  })
})

flow('disconnect', (test) => {
  test('ends the sessions', async () => {
    await signInByView()
    await SIWXUtil.clearSessions()
    assert.ok(!browser.signedIn)
    assert.equal(await SIWXUtil.isAuthenticated(), false)
  })

  test('is fine for who was never signed in', async () => {
    await SIWXUtil.clearSessions()
    assert.deepEqual(browser.asked, ['PUT /.siwx/sessions'])
    assert.deepEqual(browser.statuses, [200])
  })
})

describe('what dapps call themselves', () => {
  test('revoking ends one pair alone', async () => {
    await signInByView()
    connect(BASE, wallet)
    await signInByView()
    await siwx.revokeSession('eip155:1', wallet.address)
    assert.equal((await siwx.getSessions('eip155:1', wallet.address)).length, 0)
    assert.equal((await siwx.getSessions('eip155:8453', wallet.address)).length, 1)
    await siwx.revokeSession('eip155:8453', wallet.address)
    assert.ok(!browser.signedIn, 'with the last pair the cookie goes')
    await siwx.revokeSession('eip155:8453', wallet.address)
  })
})

describe('what goes wrong', () => {
  async function signed(change = {}) {
    const data = { ...(await siwx.createMessage({ chainId: 'eip155:1', accountAddress: wallet.address })) }
    const message = data.toString()
    return { data, message, signature: await wallet.sign(message), ...change }
  }

  test('a refusal carries the sentence of the gateway', async () => {
    const forged = await signed({ signature: await evmWallet().sign('something else') })
    await assert.rejects(siwx.addSession(forged), (error) => {
      assert.ok(error instanceof GatewayError)
      assert.deepEqual([error.status, error.code], [401, 'invalid_signature'])
      assert.match(error.message, /signature/)
      return true
    })
  })

  test('a message of a phishing page is refused, whoever brings it', async () => {
    siwx = createSIWX({ gateway: gateway.url, domain: 'evil.example', uri: 'https://evil.example/' })
    await assert.rejects(siwx.addSession(await signed()), { status: 400, code: 'domain_mismatch' })
  })

  test('a message that is not what its data says is refused', async () => {
    const session = await signed()
    await assert.rejects(siwx.addSession({ ...session, data: { ...session.data, chainId: 'eip155:8453' } }), { status: 400, code: 'data_mismatch' })
  })

  test('who is not signed in is told so by an empty list, and keeps the wallet connected', async () => {
    assert.deepEqual(await siwx.getSessions('eip155:1', wallet.address), [])
    assert.deepEqual(await siwx.getSessions('polkadot:91b171bb158e2d3848fa23a9f1c25182', wallet.address), [])
    await SIWXUtil.initializeIfEnabled()
    assert.ok(!shown.includes('disconnected'))
  })

  test('a gateway that cannot be reached keeps the wallet connected, too', async (t) => {
    const warn = t.mock.method(console, 'warn', () => {})
    siwx = createSIWX({ gateway: 'http://localhost:1' })
    globalThis.fetch = fetch
    startAppKit(siwx, NETWORKS, wallet)
    await SIWXUtil.initializeIfEnabled()
    assert.deepEqual(shown, ['SIWXSignMessage'])
    assert.equal(warn.mock.callCount(), 1)
    await assert.rejects(siwx.setSessions([]), { name: 'GatewayError', status: 0, code: 'unreachable', message: 'localhost:1 cannot be reached' })
  })

  test('a page whose origin the gateway does not know cannot read or write', async () => {
    const elsewhere = createSIWX({ gateway: gateway.url })
    const answers = []
    globalThis.fetch = async (input, init) => {
      const response = await fetch(input, { ...init, headers: { ...init.headers, origin: 'https://evil.example' } })
      answers.push(response.headers.get('access-control-allow-origin'))
      return response
    }
    await assert.rejects(elsewhere.setSessions([]), { status: 403 })
    await elsewhere.getSessions('eip155:1', wallet.address)
    assert.deepEqual(answers, [null, null])
  })

  test('readings do not overtake writes, whose cookie they need', async () => {
    const session = await signed()
    const order = []
    const passing = globalThis.fetch
    globalThis.fetch = async (input, init) => {
      const name = `${init.method} ${new URL(input).pathname.split('/').pop()}`
      order.push(`${name} begins`)
      const response = await passing(input, init)
      order.push(`${name} ends`)
      return response
    }
    const [, sessions] = await Promise.all([siwx.addSession(session), siwx.getSessions('eip155:1', wallet.address), siwx.setSessions([])])
    assert.equal(sessions.length, 1)
    assert.deepEqual(order, [
      ...['POST sessions begins', 'POST sessions ends', 'GET sessions begins', 'GET sessions ends'],
      ...['PUT sessions begins', 'PUT sessions ends'],
    ])
  })
})


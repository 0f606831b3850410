// The node that the scenarios' gateway asks answers as a real one would: what viem says of a wallet's signature by it
// is what the wallet is made to say.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { createPublicClient, hashMessage, http, keccak256, toHex } from 'viem'

import { Chains, encode, newKey, signSafeMessage, wrap } from './families/evm.js'
import { startNode } from './node/server.js'

const ETHEREUM = 'eip155:1'
const BASE = 'eip155:8453'
/** A chain that runs no code which is not deployed. */
const ZKSYNC = 'eip155:324'
const TEXT = 'app.example wants you to sign in with your Ethereum account:\n…'

let node
let chains

before(async () => {
  node = await startNode({
    chains: { [ETHEREUM]: { id: 1 }, [BASE]: { id: 8453 }, [ZKSYNC]: { id: 324, runsCode: false } },
    doors: { ethereum: ETHEREUM, base: BASE, spare: BASE, optimism: ETHEREUM, zksync: ZKSYNC },
  })
  chains = new Chains(node.control)
})
after(() => node.close())

/** Asks a door as the wire has it. Returns the status, and the body if it is JSON. */
async function post(door, body, headers = { 'content-type': 'application/json' }, path = '') {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await fetch(node.doors[door] + path, { method: 'POST', headers, body: text, redirect: 'manual' })
  return { status: answer.status, body: /json/.test(answer.headers.get('content-type')) ? await answer.json() : null }
}

const ask = async (door, method, params) => (await post(door, { jsonrpc: '2.0', id: 7, method, params })).body

async function control(path, body) {
  const answer = await fetch(node.control + path, body && { method: 'POST', body: JSON.stringify(body) })
  assert.equal(answer.status, 200)
  return answer.json()
}

const clients = {
  [ETHEREUM]: () => createPublicClient({ transport: http(node.doors.ethereum, { retryCount: 0 }) }),
  [BASE]: () => createPublicClient({ transport: http(node.doors.base, { retryCount: 0 }) }),
  [ZKSYNC]: () => createPublicClient({ transport: http(node.doors.zksync, { retryCount: 0 }) }),
}

/** What viem says of a signature, by asking the node of a chain; the wallet's own unless said. */
const viemSays = ({ address, chain }, signature, { text = TEXT, on = chain, validator } = {}) =>
  clients[on]().verifyMessage({ address, message: text, signature, erc6492VerifierAddress: validator })

describe('wallets, as viem sees them', () => {
  test('a key alone', async () => {
    const wallet = chains.keyPair(ETHEREUM)
    const signature = await wallet.sign(TEXT)
    assert.equal(await viemSays(wallet, signature), true)
    assert.equal(await viemSays(wallet, signature, { text: `${TEXT}.` }), false)
    assert.equal(await viemSays(chains.keyPair(ETHEREUM), signature), false)
  })

  test('a contract of one owner, and of the next', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const signature = await wallet.sign(TEXT)
    assert.equal(await viemSays(wallet, signature), true)
    assert.equal(await viemSays(wallet, signature, { text: `${TEXT}.` }), false)
    const next = newKey()
    const signed = await next.signMessage({ message: TEXT })
    assert.equal(await viemSays(wallet, signed), false)
    await wallet.handTo(next)
    assert.equal(await viemSays(wallet, signature), false)
    assert.equal(await viemSays(wallet, signed), true)
  })

  test('a contract is handed on by its owner alone', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const thief = newKey()
    const data = encode('Owned', 'setOwner', [thief.address])
    await chains.send(ETHEREUM, thief, { to: wallet.address, data, ok: false })
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT)), true)
  })

  test('the same address on two chains, with owners of their own', async () => {
    const deployer = newKey()
    const here = await chains.owned(ETHEREUM, { deployer })
    const there = await chains.owned(BASE, { deployer })
    assert.equal(here.address, there.address)
    assert.equal(await viemSays(here, await here.sign(TEXT)), true)
    assert.equal(await viemSays(here, await here.sign(TEXT), { on: BASE }), false)
    assert.equal(await viemSays(here, await there.sign(TEXT), { on: BASE }), true)
  })

  test('a Safe of two owners, who sign for it and for its chain', async () => {
    const deployer = newKey()
    const wallet = await chains.multisig(ETHEREUM, { deployer })
    const [first, second] = wallet.owners
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT)), true)
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT), { text: `${TEXT}.` }), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([first], TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([first, first], TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([second, first], TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([first, newKey()], TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([first, second], TEXT, { chain: BASE })), false)
    assert.equal(await viemSays(wallet, await wallet.signBy([first, second], TEXT, { address: first.address })), false)
  })

  test('what a Safe signs is what its contract says it is', async () => {
    const wallet = await chains.multisig(BASE)
    const data = encode('Multisig', 'messageHash', [hashMessage(TEXT)])
    const { result } = await ask('base', 'eth_call', [{ to: wallet.address, data }, 'latest'])
    const [owner] = wallet.owners
    const signature = await signSafeMessage(owner, wallet, TEXT)
    assert.equal(signature, await owner.sign({ hash: result }))
  })

  test('a text that a Safe has approved on its chain is good with an empty signature', async () => {
    const wallet = await chains.multisig(ETHEREUM)
    const asked = async () => {
      const data = encode('Multisig', 'isValidSignature', [hashMessage(TEXT), '0x'])
      return ask('ethereum', 'eth_call', [{ to: wallet.address, data }, 'latest'])
    }
    const before = await asked()
    assert.deepEqual([before.error.code, before.error.message], [3, 'execution reverted: Hash not approved'])
    await wallet.approve(TEXT)
    assert.equal((await asked()).result, `0x1626ba7e${'0'.repeat(56)}`)
  })

  test('a contract that is not there yet', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    const signature = await wallet.sign(TEXT)
    for (const _ of ['undeployed', 'still undeployed']) {
      assert.equal(await viemSays(wallet, signature), true)
      assert.equal((await ask('ethereum', 'eth_getCode', [wallet.address, 'latest'])).result, '0x')
    }
    assert.equal(await viemSays(wallet, signature, { text: `${TEXT}.` }), false)
    assert.equal(await viemSays(wallet, signature, { on: BASE }), false)
    assert.equal(await viemSays(wallet, await wallet.signBare(TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signBy(newKey(), TEXT)), false)
    assert.equal(await viemSays({ ...wallet, address: newKey().address }, signature), false)
    await wallet.deploy()
    assert.notEqual((await ask('ethereum', 'eth_getCode', [wallet.address, 'latest'])).result, '0x')
    assert.equal(await viemSays(wallet, signature), true)
    assert.equal(await viemSays(wallet, await wallet.signBare(TEXT)), true)
  })

  test('a chain that runs no code which is not deployed, but has a validator', async () => {
    const validator = await chains.deploy(ZKSYNC, 'Validator')
    for (const chain of [ETHEREUM, ZKSYNC]) {
      const at = chain === ZKSYNC ? validator : await chains.deploy(chain, 'Validator')
      for (const wallet of [await chains.counterfactual(chain), await chains.owned(chain)]) {
        const signature = await wallet.sign(TEXT)
        assert.equal(await viemSays(wallet, signature, { validator: at }), true)
        assert.equal(await viemSays(wallet, signature, { validator: at, text: `${TEXT}.` }), false)
        assert.equal(await viemSays({ ...wallet, address: newKey().address }, signature, { validator: at }), false)
        assert.equal(await viemSays(wallet, signature), chain === ETHEREUM)
      }
      const wallet = await chains.counterfactual(chain)
      const elsewhere = { ...wallet.make, factory: await chains.deploy(chain, 'Elsewhere') }
      const wrong = await wallet.signBy(wallet.owner, TEXT, elsewhere)
      assert.equal(await viemSays(wallet, wrong, { validator: at }), false)
      await wallet.deploy()
      assert.equal(await viemSays(wallet, await wallet.sign(TEXT), { validator: at }), true)
    }
  })

  test('a wallet that is there is asked, though what would make it burns all gas', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    await wallet.deploy()
    const burner = { ...wallet.make, factory: await chains.deploy(ETHEREUM, 'Burner') }
    assert.equal(await viemSays(wallet, await wallet.signBy(wallet.owner, TEXT, burner)), true)
    assert.equal(await viemSays(wallet, await wallet.signBy(newKey(), TEXT, burner)), false)
  })

  test('a factory that makes the wallet elsewhere', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    const elsewhere = await chains.deploy(ETHEREUM, 'Elsewhere')
    assert.equal(await viemSays(wallet, await wallet.signBy(wallet.owner, TEXT, { ...wallet.make, factory: elsewhere })), false)
  })

  test('a key whose account runs code', async () => {
    const wallet = await chains.delegated(ETHEREUM)
    assert.match((await ask('ethereum', 'eth_getCode', [wallet.address, 'latest'])).result, /^0xef0100[0-9a-f]{40}$/)
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT)), true)
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT), { text: `${TEXT}.` }), false)
    assert.equal(await viemSays(wallet, await wallet.sign(TEXT), { on: BASE }), false)
    assert.equal(await viemSays({ ...wallet, address: newKey().address }, await wallet.sign(TEXT)), false)
    assert.equal(await viemSays(wallet, await wallet.signByKey(TEXT)), true)
  })

  test('a wrapped signature of a key alone', async () => {
    const wallet = chains.keyPair(ETHEREUM)
    const { make } = await chains.counterfactual(ETHEREUM)
    assert.equal(await viemSays(wallet, wrap(make, await wallet.sign(TEXT)), { text: `${TEXT}.` }), false)
  })

  for (const [name, said] of [
    ['Dirty', false],
    ['Yes', false],
    ['Burner', false],
    ['Mute', false],
    // The validator looks at the first word alone.
    ['Verbose', true],
  ]) {
    test(`the contract ${name}`, async () => {
      const wallet = await chains.odd(ETHEREUM, name)
      assert.equal(await viemSays(wallet, await wallet.sign(TEXT)), said)
    })
  }
})

describe('the wire', () => {
  test('each door says whose chain it leads to', async () => {
    const ids = {}
    for (const door of Object.keys(node.doors)) ids[door] = (await ask(door, 'eth_chainId', [])).result
    assert.deepEqual(ids, { ethereum: '0x1', base: '0x2105', spare: '0x2105', optimism: '0x1', zksync: '0x144' })
  })

  test('what an id is comes back, and a batch as a batch', async () => {
    const chainId = { jsonrpc: '2.0', method: 'eth_chainId' }
    for (const id of [0, 'a', null]) {
      assert.deepEqual((await post('base', { ...chainId, id })).body, { jsonrpc: '2.0', id, result: '0x2105' })
    }
    const { body } = await post('base', [
      { ...chainId, id: 1 },
      { ...chainId, id: 2 },
    ])
    assert.deepEqual(
      body.map(({ id, result }) => [id, result]),
      [
        [1, '0x2105'],
        [2, '0x2105'],
      ],
    )
  })

  const account = `0x${'11'.repeat(20)}`
  for (const [name, method, params, code, message] of [
    ['an unknown method', 'eth_sendTransaction', [], -32601, /^the method eth_sendTransaction does not exist/],
    ['a method of every object', 'toString', [], -32601, /^the method toString does not exist/],
    ['no address', 'eth_getCode', [], -32602, /^missing value for required argument 0$/],
    ['no block', 'eth_getCode', [account], -32602, /^missing value for required argument 1$/],
    ['too many parameters', 'eth_getCode', [account, 'latest', 1], -32602, /^too many arguments, want at most 2$/],
    ['a short address', 'eth_getCode', [`0x${'11'.repeat(19)}`, 'latest'], -32602, /^invalid argument 0: hex string has length 38/],
    ['odd digits', 'eth_call', [{ to: account, data: '0x123' }, 'latest'], -32602, /^invalid argument 0: json: /],
    ['no hex', 'eth_call', [{ to: account, data: 'abc' }, 'latest'], -32602, /^invalid argument 0: json: /],
    ['a call that is text', 'eth_call', ['0x', 'latest'], -32602, /^invalid argument 0: json: /],
    ['gas with a leading zero', 'eth_call', [{ to: account, gas: '0x01' }, 'latest'], -32602, /^invalid argument 0: json: /],
    ['two inputs', 'eth_call', [{ to: account, data: '0x', input: '0x00' }, 'latest'], -32000, /^both "data" and "input" are set/],
  ]) {
    test(`${name} is an error`, async () => {
      const { error, result } = await ask('base', method, params)
      assert.equal(result, undefined)
      assert.equal(error.code, code)
      assert.match(error.message, message)
    })
  }

  test('what is no request is an error', async () => {
    for (const body of [7, 'null', {}, { jsonrpc: '2.0' }, { jsonrpc: '1.0', method: 'eth_chainId', id: 1 }]) {
      assert.equal((await post('base', body)).body.error.code, -32600)
    }
    assert.deepEqual((await post('base', '{')).body.error, { code: -32700, message: 'parse error' })
    assert.equal((await post('base', {}, { 'content-type': 'text/plain' })).status, 415)
    assert.equal((await fetch(node.doors.base)).status, 405)
    assert.equal((await post('base', ' '.repeat((5 << 20) + 1))).status, 413)
  })

  for (const [name, params] of [
    ['from', [{ from: account, to: account }, 'latest']],
    ['value', [{ to: account, value: '0x0' }, 'latest']],
    ['gasPrice', [{ to: account, gasPrice: '0x0' }, 'latest']],
    ['authorizationList', [{ to: account, authorizationList: [] }, 'latest']],
    ['overrides', [{ to: account }, 'latest', {}]],
    ['overrides', [{ to: account }, 'latest', null, {}]],
    ['block "pending"', [{ to: account }, 'pending']],
  ]) {
    test(`${name} in a call is refused and noted, with ${params.length} parameters`, async () => {
      await control('/calls/reset', {})
      assert.equal((await ask('base', 'eth_call', params)).error.code, -32602)
      assert.deepEqual(await control('/calls'), [{ door: 'base', method: 'eth_call', params, forbidden: name }])
    })
  }

  test('honest calls are noted too, with nothing against them', async () => {
    await control('/calls/reset', {})
    await ask('spare', 'eth_call', [{ to: account }, 'latest'])
    assert.deepEqual(await control('/calls'), [
      { door: 'spare', method: 'eth_call', params: [{ to: account }, 'latest'], forbidden: null },
    ])
  })
})

describe('calls', () => {
  const run = (to, data, more = {}) => ask('base', 'eth_call', [{ ...(to && { to }), data, ...more }, 'latest'])

  test('a call to nobody runs its data, and returns the code it makes', async () => {
    assert.equal((await run(null, '0x60016000526001601ff3')).result, '0x01')
    assert.equal((await run(null, '0x60006000f3')).result, '0x')
  })

  test('a call changes nothing', async () => {
    const factory = await chains.deploy(BASE, 'Factory')
    const owner = newKey().address
    const salt = keccak256('0x')
    const { result: place } = await run(factory, encode('Factory', 'addressOf', [owner, salt]))
    const address = `0x${place.slice(26)}`
    for (const _ of ['first', 'second']) {
      assert.equal((await run(factory, encode('Factory', 'create', [owner, salt]))).result, place)
      assert.equal((await ask('base', 'eth_getCode', [address, 'latest'])).result, '0x')
    }
  })

  test('a call to an address without code returns nothing', async () => {
    assert.equal((await run(newKey().address, '0x1234')).result, '0x')
  })

  test('a reverted call is told with its data, and its reason if there is one', async () => {
    assert.deepEqual((await run(null, '0x60006000fd')).error, { code: 3, message: 'execution reverted', data: '0x' })
    const { error: oneByte } = await run(null, '0x60ab6000526001601ffd')
    assert.deepEqual(oneByte, { code: 3, message: 'execution reverted', data: '0xab' })
    const wallet = await chains.multisig(BASE)
    const { error } = await run(wallet.address, encode('Multisig', 'isValidSignature', [keccak256('0x'), '0x12']))
    assert.deepEqual([error.code, error.message], [3, 'execution reverted: GS020'])
    assert.ok(error.data.startsWith('0x08c379a0'))
  })

  for (const [name, data, message] of [
    ['an invalid opcode', '0xfe', 'invalid opcode'],
    ['a bad jump', '0x600056', 'invalid jump destination'],
    ['an empty stack', '0x01', 'stack underflow'],
    ['code that begins with ef', '0x60ef60005360016000f3', 'invalid code: must not begin with 0xef'],
  ]) {
    test(`${name} is told without data`, async () => {
      assert.deepEqual((await run(null, data)).error, { code: -32000, message })
    })
  }

  test('gas ends at the cap, whatever the call asks for, and the node goes on', async () => {
    const burner = await chains.deploy(BASE, 'Burner')
    for (const gas of ['0x100000', '0xffffffffffff']) {
      assert.deepEqual((await run(burner, '0x', { gas })).error, { code: -32000, message: 'out of gas' })
    }
    assert.equal((await run(newKey().address, '0x')).result, '0x')
  })

  test('gas has to begin with what the call itself costs', async () => {
    const { error } = await run(null, toHex(new Uint8Array(64)), { gas: '0x5208' })
    // 21000 + 32000 + 64 zero bytes at 4 + two words at 2.
    assert.deepEqual(error, { code: -32000, message: 'err: intrinsic gas too low: have 21000, want 53260 (supplied gas 21000)' })
  })

  test('code that makes a contract has a longest length', async () => {
    const { error } = await run(null, toHex(new Uint8Array(49_153)))
    assert.equal(error.code, -32000)
    assert.match(error.message, /^err: max initcode size exceeded: code size 49153, limit 49152/)
  })
})

describe('doors', () => {
  const account = `0x${'11'.repeat(20)}`
  const request = { jsonrpc: '2.0', id: 7, method: 'eth_call', params: [{ to: account }, 'latest'] }
  const behave = (act) => control('/behave', { door: 'spare', act })

  for (const [act, status, body] of [
    ['busy', 429, null],
    ['limited', 200, { jsonrpc: '2.0', id: 7, error: { code: -32005, message: 'daily request count exceeded' } }],
    ['html', 200, null],
    ['stranger', 200, { jsonrpc: '2.0', id: 8, result: '0x01' }],
    ['null', 200, { jsonrpc: '2.0', id: 7, result: null }],
    ['elsewhere', 307, null],
  ]) {
    test(`one that is ${act}, and honest again; others do not care`, async () => {
      await behave(act)
      assert.deepEqual(await post('spare', request), { status, body })
      assert.equal((await post('base', request)).body.result, '0x')
      await behave('honest')
      assert.equal((await post('spare', request)).body.result, '0x')
    })
  }

  test('one that is down, and back at the same port with what it knew', async () => {
    const wallet = await chains.owned(BASE)
    await behave('down')
    await assert.rejects(post('spare', request), ({ cause }) => cause.code === 'ECONNREFUSED')
    assert.equal((await post('base', request)).body.result, '0x')
    await behave('honest')
    assert.equal((await ask('spare', 'eth_getCode', [wallet.address, 'latest'])).result.length > 2, true)
  })

  test('one that hangs never answers', async () => {
    await behave('hang')
    const gaveUp = fetch(node.doors.spare, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) },
      signal: AbortSignal.timeout(200),
    })
    await assert.rejects(gaveUp, { name: 'TimeoutError' })
    await behave('honest')
  })

  test('whoever follows a redirect is noted', async () => {
    await control('/calls/reset', {})
    await post('spare', request, undefined, '/elsewhere')
    assert.equal((await control('/calls'))[0].forbidden, '/elsewhere')
  })
})

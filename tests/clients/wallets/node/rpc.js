// The JSON-RPC methods of a node that signatures are checked with, answered as geth 1.16 does.
//
// Who only asks whether a signature is good asks as nobody and pays nothing. `from`, `value`, state overrides and the
// like, which a real node takes, are refused here, and told as `forbidden`, so that a test can fail for them.

import { CallFailed } from './chain.js'

const VERSION = '2.0'
const CALL_MEMBERS = ['to', 'data', 'input', 'gas']

/** An error that the caller is to blame for. */
class RpcError extends Error {
  constructor(code, message, forbidden = null) {
    super(message)
    this.code = code
    this.forbidden = forbidden
  }
}

/** Each method, and how many parameters it needs and takes. A node is `{ id, chain }`. */
const METHODS = {
  eth_chainId: { least: 0, most: 0, run: ({ id }) => number(id) },
  eth_blockNumber: { least: 0, most: 0, run: ({ chain }) => number(chain.height) },
  eth_getCode: {
    least: 2,
    most: 2,
    run: ({ chain }, [address, block]) => {
      const checked = bytes(address, 0, '', 20)
      demandBlock(block)
      return chain.code(checked)
    },
  },
  eth_call: {
    least: 1,
    most: 4,
    run: ({ chain }, [call, block, ...overrides]) => {
      const checked = callOf(call)
      if (block !== undefined) demandBlock(block)
      if (overrides.some((override) => override !== null)) throw forbid('overrides')
      return chain.call(checked)
    },
  },
}

/**
 * Answers one request that was read from JSON: `{ answer, forbidden }`, the second a word for what nobody who checks a
 * signature may ask for, or null.
 */
export async function answerRpc(node, request) {
  const id = isObject(request) ? (request.id ?? null) : null
  try {
    return { answer: { jsonrpc: VERSION, id, result: await run(node, request) }, forbidden: null }
  } catch (error) {
    if (!(error instanceof RpcError || error instanceof CallFailed)) throw error
    const { code, message, data, forbidden = null } = error
    return { answer: { jsonrpc: VERSION, id, error: { code, message, ...(data && { data }) } }, forbidden }
  }
}

function run(node, request) {
  const { jsonrpc, method, params = [] } = isObject(request) ? request : {}
  if (jsonrpc !== VERSION || typeof method !== 'string' || !Array.isArray(params)) {
    throw new RpcError(-32600, 'invalid request')
  }
  if (!Object.hasOwn(METHODS, method)) {
    throw new RpcError(-32601, `the method ${method} does not exist/is not available`, method)
  }
  const { least, most } = METHODS[method]
  if (params.length > most) throw new RpcError(-32602, `too many arguments, want at most ${most}`)
  if (params.length < least) throw new RpcError(-32602, `missing value for required argument ${params.length}`)
  return METHODS[method].run(node, params)
}

function callOf(call) {
  if (!isObject(call)) throw invalid(0, 'json: cannot unmarshal non-object into Go value of type ethapi.TransactionArgs')
  const other = Object.keys(call).find((member) => !CALL_MEMBERS.includes(member))
  if (other !== undefined) throw forbid(other)
  const { to, data, input, gas } = call
  if (data !== undefined && input !== undefined && data !== input) {
    throw new RpcError(-32000, 'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data')
  }
  return {
    to: to === undefined || to === null ? undefined : bytes(to, 0, '.to', 20),
    data: bytes(input ?? data ?? '0x', 0, '.data'),
    gas: gas === undefined ? undefined : quantity(gas, 0, '.gas'),
  }
}

/** Blocks of the past are not kept, and nothing waits for the next one. */
function demandBlock(block) {
  if (block !== 'latest') throw forbid(`block ${JSON.stringify(block)}`)
}

/** Bytes in hex (Ethereum JSON-RPC, "Unformatted data"), of a length if it matters. */
function bytes(value, position, member, length = null) {
  if (typeof value !== 'string' || !/^0x([0-9a-fA-F]{2})*$/.test(value)) {
    throw invalid(position, `json: cannot unmarshal invalid hex string into Go struct field${member}`)
  }
  const found = value.length / 2 - 1
  if (length !== null && found !== length) {
    throw invalid(position, `hex string has length ${2 * found}, want ${2 * length} for common.Address`)
  }
  return value
}

function quantity(value, position, member) {
  if (typeof value !== 'string' || !/^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})$/.test(value)) {
    throw invalid(position, `json: cannot unmarshal invalid hex number into Go struct field${member}`)
  }
  return BigInt(value)
}

const number = (value) => `0x${BigInt(value).toString(16)}`
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const invalid = (position, found) => new RpcError(-32602, `invalid argument ${position}: ${found}`)
const forbid = (what) => new RpcError(-32602, `${what}: not for who checks a signature`, what)

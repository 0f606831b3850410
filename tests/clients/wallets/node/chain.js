// One EVM chain in memory, with Prague's rules: transactions change it, calls do not.
//
// 1. What runs the contracts is @ethereumjs/vm; here is what a node does around it for `eth_call`, with the words and
//    numbers of geth: gas that a call has to begin with, a cap on it, and how failures are told.
// 2. One thing at a time: a call works on the state itself and takes back what it did.
// 3. A chain may be one of those that run no code without an address: there a call without `to` fails.

import { createBlock } from '@ethereumjs/block'
import { createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common'
import { createTxFromRLP } from '@ethereumjs/tx'
import { bytesToHex, createAddressFromString, hexToBytes } from '@ethereumjs/util'
import { createVM, runTx } from '@ethereumjs/vm'
import { decodeErrorResult } from 'viem'

/** What a call costs before it runs (EIP-2, EIP-2028, EIP-3860), and the longest code that makes a contract. */
const GAS_OF_CALL = 21_000n
const GAS_OF_CREATION = 32_000n
const GAS_OF_ZERO_BYTE = 4n
const GAS_OF_BYTE = 16n
const GAS_OF_INITCODE_WORD = 2n
const INITCODE_BYTES_MAX = 49_152

/** `Error(string)`, by which Solidity tells a reason. */
const REASON = [{ type: 'error', name: 'Error', inputs: [{ type: 'string' }] }]

/** What geth calls the failures of the EVM, where @ethereumjs/evm has other words. */
const WORDS = {
  'invalid JUMP': 'invalid jump destination',
  'static state change': 'write protection',
  'code store out of gas': 'contract creation code storage out of gas',
  'code size to deposit exceeds maximum code size': 'max code size exceeded',
  'initcode exceeds max initcode size': 'max initcode size exceeded',
  'create collision': 'contract address collision',
  'invalid bytecode deployed': 'invalid code: must not begin with 0xef',
}

/** A call that a node answers with an error. */
export class CallFailed extends Error {
  constructor(code, message, data) {
    super(message)
    this.code = code
    this.data = data
  }
}

export class Chain {
  #vm
  #common
  #gasCap
  #runsCode
  #number = 1n
  #turn = Promise.resolve()

  constructor(vm, common, { gasCap, runsCode }) {
    this.#vm = vm
    this.#common = common
    this.#gasCap = gasCap
    this.#runsCode = runsCode
  }

  /** A chain with this number for its id. No call gets more gas than `gasCap`. */
  static async create(id, { gasCap, runsCode = true }) {
    const common = createCustomCommon({ chainId: id, name: `chain ${id}` }, Mainnet, { hardfork: Hardfork.Prague })
    return new Chain(await createVM({ common }), common, { gasCap, runsCode })
  }

  /** The number of the latest block: one for each transaction. */
  get height() {
    return this.#number
  }

  /** How many transactions an account has sent. */
  nonce(address) {
    return this.#alone(async () => (await this.#account(address))?.nonce ?? 0n)
  }

  /** The code at an address, in hex. */
  code(address) {
    return this.#alone(async () => bytesToHex(await this.#vm.stateManager.getCode(createAddressFromString(address))))
  }

  /** Runs a signed transaction in a block of its own; whoever sent it had the money. Returns `{ ok, created }`. */
  send(raw) {
    return this.#alone(async () => {
      const tx = createTxFromRLP(hexToBytes(raw), { common: this.#common })
      const block = this.#block(this.#number + 1n)
      const { execResult, createdAddress } = await runTx(this.#vm, { tx, block, skipBalance: true })
      this.#number += 1n
      return { ok: execResult.exceptionError === undefined, created: createdAddress?.toString() ?? null }
    })
  }

  /** What `eth_call` returns, in hex; without `to` the data is code that makes a contract, and returns its code. */
  call({ to, data, gas }) {
    return this.#alone(async () => {
      if (to === undefined && !this.#runsCode) throw new CallFailed(3, 'execution reverted', '0x')
      const input = hexToBytes(data)
      const limit = gas === undefined || gas > this.#gasCap ? this.#gasCap : gas
      const begin = gasToBegin(input, to)
      if (to === undefined && input.length > INITCODE_BYTES_MAX) {
        const found = `code size ${input.length}, limit ${INITCODE_BYTES_MAX}`
        throw new CallFailed(-32000, `err: max initcode size exceeded: ${found} (supplied gas ${limit})`)
      }
      if (limit < begin) {
        throw new CallFailed(-32000, `err: intrinsic gas too low: have ${limit}, want ${begin} (supplied gas ${limit})`)
      }
      const { evm } = this.#vm
      await evm.journal.checkpoint()
      try {
        const { execResult } = await evm.runCall({
          to: to && createAddressFromString(to),
          data: input,
          gasLimit: limit - begin,
          block: this.#block(this.#number),
        })
        if (execResult.exceptionError !== undefined) throw failure(execResult)
        return bytesToHex(execResult.returnValue)
      } finally {
        await evm.journal.revert()
        await evm.journal.cleanup()
      }
    })
  }

  #account(address) {
    return this.#vm.stateManager.getAccount(createAddressFromString(address))
  }

  #block(number) {
    const header = { number, timestamp: 1_750_000_000n + 12n * number, gasLimit: 60_000_000n, baseFeePerGas: 7n }
    return createBlock({ header }, { common: this.#common, skipConsensusFormatValidation: true })
  }

  #alone(run) {
    const result = this.#turn.then(run)
    this.#turn = result.catch(() => {})
    return result
  }
}

function gasToBegin(input, to) {
  const zeros = input.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0)
  const data = GAS_OF_ZERO_BYTE * BigInt(zeros) + GAS_OF_BYTE * BigInt(input.length - zeros)
  const creation = to === undefined ? GAS_OF_CREATION + GAS_OF_INITCODE_WORD * BigInt(Math.ceil(input.length / 32)) : 0n
  return GAS_OF_CALL + data + creation
}

function failure({ exceptionError: { error }, returnValue }) {
  // The library's word may be followed by the place.
  if (error !== 'revert') return new CallFailed(-32000, WORDS[error.split(' at ')[0]] ?? error)
  const data = bytesToHex(returnValue)
  const reason = reasonOf(data)
  return new CallFailed(3, reason === null ? 'execution reverted' : `execution reverted: ${reason}`, data)
}

function reasonOf(data) {
  try {
    return decodeErrorResult({ abi: REASON, data }).args[0]
  } catch {
    return null
  }
}

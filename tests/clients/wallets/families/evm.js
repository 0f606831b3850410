// Wallets of EVM chains: keys, contracts that keys own, and accounts that are both.
//
// A contract's wallet is `{ chain, address, sign }` with more of what its kind can do. Everything that is made here is
// made by transactions, signed by keys as wallets sign them; the chain gives the money for gas.

import assert from 'node:assert/strict'

import {
  concat,
  encodeAbiParameters,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  hashMessage,
  serializeErc6492Signature,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

import { loadContracts } from '../contracts.js'

const contracts = await loadContracts()

/** The owner of a key; what viem calls an account. */
export const newKey = () => privateKeyToAccount(generatePrivateKey())

/** The word for the family in texts. */
const LABEL = 'Ethereum'

/** The chains of a node, changed through the port that is for the tests. */
export class Chains {
  #control

  constructor(control) {
    this.#control = control
  }

  /** Sends a transaction of this key. Returns the address of what it made, if it made anything. */
  async send(chain, key, { to, data = '0x', authorizationList, ok = true }) {
    const { nonce } = await this.#ask('/nonce', { chain, address: key.address })
    const fees = { gas: 5_000_000n, maxFeePerGas: 1_000_000_000n, maxPriorityFeePerGas: 0n }
    const raw = await key.signTransaction({ chainId: idOf(chain), nonce, to, data, authorizationList, ...fees })
    const done = await this.#ask('/send', { chain, raw })
    assert.equal(done.ok, ok, `expected the transaction to ${ok ? 'be good' : 'fail'}`)
    return done.created && getContractAddress({ from: key.address, nonce: BigInt(nonce) })
  }

  /** Deploys a contract of the folder. The same new key makes the same address on every chain. */
  deploy(chain, name, args = [], key = newKey()) {
    const { abi, bytecode } = contracts[name]
    return this.send(chain, key, { data: encodeDeployData({ abi, bytecode, args }) })
  }

  #handTo({ chain, address, owner }, next) {
    return this.send(chain, owner, { to: address, data: encode('Owned', 'setOwner', [next.address]) })
  }

  async #ask(path, body) {
    const answer = await fetch(this.#control + path, { method: 'POST', body: JSON.stringify(body) })
    assert.equal(answer.status, 200, await answer.clone().text())
    return answer.json()
  }

  // === wallets ===

  /** A key alone. */
  keyPair(chain) {
    const key = newKey()
    return { label: LABEL, chain, address: key.address, key, sign: (text) => key.signMessage({ message: text }) }
  }

  /** A contract with one owner. `deployer` says where it comes to stand. */
  async owned(chain, { owner = newKey(), deployer } = {}) {
    const address = await this.deploy(chain, 'Owned', [owner.address], deployer)
    return {
      ...{ label: LABEL, chain, address, owner, sign: (text) => owner.signMessage({ message: text }) },
      handTo: (next) => this.#handTo({ chain, address, owner }, next),
    }
  }

  /** A contract of two owners who both have to sign, in the manner of Safe. */
  async multisig(chain, { deployer } = {}) {
    const owners = [newKey(), newKey()].sort((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1))
    const address = await this.deploy(chain, 'Multisig', [owners.map((owner) => owner.address), 2n], deployer)
    const signBy = async (signers, text, changes = {}) =>
      concat(await Promise.all(signers.map((signer) => signSafeMessage(signer, { chain, address, ...changes }, text))))
    return {
      ...{ label: LABEL, chain, address, owners, signBy },
      sign: (text) => signBy(owners, text),
      /** Approves a text on the chain; from then on its signature is empty. */
      approve: async (text) => {
        const data = encode('Multisig', 'approve', [hashMessage(text), await signBy(owners, text)])
        await this.send(chain, owners[0], { to: address, data })
      },
    }
  }

  /** A contract that is not there yet, with the factory that would make it. */
  async counterfactual(chain, { owner = newKey(), factory } = {}) {
    const at = factory ?? (await this.deploy(chain, 'Factory'))
    const salt = `0x${'00'.repeat(32)}`
    const address = contractAddress(at, owner, salt)
    const make = { factory: at, calldata: encode('Factory', 'create', [owner.address, salt]) }
    const signBy = async (signer, text, by = make) => wrap(by, await signer.signMessage({ message: text }))
    return {
      ...{ label: LABEL, chain, address, owner, make, signBy },
      sign: (text) => signBy(owner, text),
      signBare: (text) => owner.signMessage({ message: text }),
      deploy: () => this.send(chain, newKey(), { to: at, data: make.calldata }),
      handTo: (next) => this.#handTo({ chain, address, owner }, next),
    }
  }

  /** A key whose account runs the code of a contract (EIP-7702), and signs in that contract's form too. */
  async delegated(chain, { key = newKey(), to = 'Delegate' } = {}) {
    const address = await this.deploy(chain, to)
    const authorization = await key.signAuthorization({ contractAddress: address, chainId: idOf(chain), nonce: 0 })
    const sponsor = newKey()
    await this.send(chain, sponsor, { to: sponsor.address, authorizationList: [authorization] })
    return {
      ...{ label: LABEL, chain, address: key.address, key },
      sign: async (text) => concat(['0x01', await key.signMessage({ message: text })]),
      signByKey: (text) => key.signMessage({ message: text }),
    }
  }

  /** A contract that does as its name says, with a signature of somebody's. */
  async odd(chain, name) {
    const address = await this.deploy(chain, name)
    return { label: LABEL, chain, address, sign: (text) => newKey().signMessage({ message: text }) }
  }
}

/** A signature with what would make its wallet (ERC-6492). */
export const wrap = ({ factory, calldata }, signature) =>
  serializeErc6492Signature({ address: factory, data: calldata, signature })

/** What one owner of a Safe signs for a text: its digest as the message of typed data of that Safe and chain. */
export const signSafeMessage = (owner, { chain, address }, text) =>
  owner.signTypedData({
    domain: { chainId: idOf(chain), verifyingContract: address },
    types: { SafeMessage: [{ name: 'message', type: 'bytes' }] },
    primaryType: 'SafeMessage',
    message: { message: hashMessage(text) },
  })

export const encode = (name, functionName, args) => encodeFunctionData({ abi: contracts[name].abi, functionName, args })

/** Where a factory makes the wallet of an owner (EIP-1014). */
function contractAddress(factory, owner, salt) {
  const bytecode = concat([contracts.Owned.bytecode, encodeAbiParameters([{ type: 'address' }], [owner.address])])
  return getContractAddress({ opcode: 'CREATE2', from: factory, salt, bytecode })
}

export const idOf = (chain) => Number(chain.slice('eip155:'.length))

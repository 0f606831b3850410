// Wallets for a browser under test. What a page sees of them is put into it before its own scripts run, as an extension
// does; the keys stay here, and sign with the libraries that wallets use.
//
// A wallet answers what it is asked by `answer(method, …)`. What a person does wrong in it is said by `behaves`.

import { Buffer } from 'node:buffer'

import { createSignInMessage } from '@solana/wallet-standard-util'
import bs58 from 'bs58'
import nacl from 'tweetnacl'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { hexToString } from 'viem'

const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" fill="#3b5bdb"/>' +
    '<circle cx="16" cy="16" r="8" fill="#fff"/></svg>',
)}`

/** What a wallet answers instead of doing what it is asked; `{ code, message }` as EIP-1193 has them. */
export const REFUSES = { code: 4001, message: 'User rejected the request.' }
export const BUSY = { code: -32002, message: "Request of type 'wallet_requestPermissions' already pending" }

class Wallet {
  /** Texts it was asked to sign. */
  signed = []
  /** By method: an error to answer with, or a function that is called in place of the wallet's own. */
  behaves = {}

  constructor({ name, icon = ICON, announced }) {
    Object.assign(this, { name, icon, announced })
  }

  /** What the page's half of it has to know. */
  get description() {
    const { name, icon, announced, address, rdns, features, chains } = this
    return { name, icon, announced, address, rdns, features, chains }
  }

  async answer(method, params) {
    const behaviour = this.behaves[method]
    if (typeof behaviour === 'function') return behaviour(params)
    if (behaviour) throw Object.assign(new Error(behaviour.message), { code: behaviour.code })
    return this[method](params)
  }
}

/** `announced` is `eip6963`, `window` for `window.ethereum` with its event, or `silent` for that without. */
export class EvmWallet extends Wallet {
  constructor({ name = 'Meadow', rdns = 'example.meadow', chainId = 1, announced = 'eip6963', ...rest } = {}) {
    super({ name, announced, ...rest })
    this.key = privateKeyToAccount(generatePrivateKey())
    Object.assign(this, { rdns, chainId, address: this.key.address })
  }

  account() {
    return `eip155:${this.chainId}:${this.address}`
  }

  // As many wallets do, in lower case.
  eth_requestAccounts() {
    return [this.address.toLowerCase()]
  }

  eth_chainId() {
    return `0x${this.chainId.toString(16)}`
  }

  personal_sign([data, address]) {
    if (address.toLowerCase() !== this.address.toLowerCase()) throw new Error(`expected ${this.address}, found ${address}`)
    const message = hexToString(data)
    this.signed.push(message)
    return this.key.signMessage({ message })
  }

  wallet_switchEthereumChain([{ chainId }]) {
    this.chainId = Number(chainId)
    return null
  }
}

/** `announced` is `standard` for Wallet Standard, or `phantom` for `window.phantom.solana`. */
export class SolanaWallet extends Wallet {
  constructor({ name = 'Sundial', announced = 'standard', features = ['signIn'], ...rest } = {}) {
    super({ name, announced, ...rest })
    this.key = nacl.sign.keyPair()
    this.address = bs58.encode(this.key.publicKey)
    Object.assign(this, { features, chains: ['solana:mainnet', 'solana:devnet'] })
  }

  account() {
    return `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:${this.address}`
  }

  connect() {
    return this.address
  }

  signIn(input) {
    return this.signMessage(Array.from(createSignInMessage({ ...input, address: this.address })))
  }

  signMessage(bytes) {
    this.signed.push(Buffer.from(bytes).toString('utf8'))
    return { signedMessage: bytes, signature: Array.from(nacl.sign.detached(Uint8Array.from(bytes), this.key.secretKey)) }
  }
}

/** Puts wallets into every page of a context. Those with `late` are announced only when `announceLate` is called in it. */
export async function install(context, wallets) {
  await context.exposeBinding('testWallet', async (_, at, method, params) => {
    try {
      return { result: await wallets[at].answer(method, params) }
    } catch ({ message, code }) {
      return { error: { message, code } }
    }
  })
  await context.addInitScript(
    inject,
    wallets.map((wallet) => ({ ...wallet.description, late: wallet.late ?? false })),
  )
}

// Runs in the page. `walletAnswers` counts what wallets have said.
function inject(descriptions) {
  window.walletAnswers = 0
  const made = descriptions.map((wallet, at) => {
    const ask = async (method, params) => {
      const { result, error } = await window.testWallet(at, method, params)
      window.walletAnswers++
      if (error) throw Object.assign(new Error(error.message), { code: error.code })
      return result
    }
    return { eip6963, window: older, silent: older, standard, phantom }[wallet.announced](wallet, ask, at)
  })
  made.forEach((announce, at) => descriptions[at].late || announce())
  window.announceLate = () => made.forEach((announce, at) => descriptions[at].late && announce())

  function eip6963({ name, icon, rdns }, ask, at) {
    const provider = { request: ({ method, params }) => ask(method, params) }
    const detail = Object.freeze({ info: Object.freeze({ uuid: `uuid-${at}`, name, icon, rdns }), provider })
    const announce = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
    return () => {
      window.addEventListener('eip6963:requestProvider', announce)
      announce()
    }
  }

  function older({ announced }, ask) {
    return () => {
      window.ethereum = { request: ({ method, params }) => ask(method, params) }
      if (announced === 'window') window.dispatchEvent(new Event('ethereum#initialized'))
    }
  }

  function standard({ name, icon, address, features, chains }, ask) {
    const account = { address, publicKey: new Uint8Array(32), chains, features: [] }
    const bytes = ({ signedMessage, signature }) => ({
      signedMessage: Uint8Array.from(signedMessage),
      signature: Uint8Array.from(signature),
    })
    const all = {
      signIn: {
        'solana:signIn': { version: '1.0.0', signIn: async (input) => [{ account, ...bytes(await ask('signIn', input)) }] },
      },
      signMessage: {
        'standard:connect': { version: '1.0.0', connect: async () => (await ask('connect')) && { accounts: [account] } },
        'solana:signMessage': {
          version: '1.0.0',
          signMessage: async ({ message }) => [bytes(await ask('signMessage', Array.from(message)))],
        },
      },
    }
    const wallet = { version: '1.0.0', name, icon, chains, accounts: [], features: Object.assign({}, ...features.map((name) => all[name])) }
    const callback = ({ register }) => register(wallet)
    return () => {
      window.dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: callback }))
      window.addEventListener('wallet-standard:app-ready', ({ detail: api }) => callback(api))
    }
  }

  function phantom({ features }, ask) {
    const key = { toString: () => ask.address }
    const provider = {
      isPhantom: true,
      async connect() {
        ask.address = await ask('connect')
        return { publicKey: key }
      },
      async signMessage(message) {
        const { signature } = await ask('signMessage', Array.from(message))
        return { publicKey: key, signature: Uint8Array.from(signature) }
      },
    }
    if (features.includes('signIn')) {
      provider.signIn = async (input) => {
        ask.address = await ask('connect')
        const { signedMessage, signature } = await ask('signIn', input)
        return { address: key, signedMessage: Uint8Array.from(signedMessage), signature: Uint8Array.from(signature) }
      }
    }
    return () => {
      window.phantom = { solana: provider }
    }
  }
}

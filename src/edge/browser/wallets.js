// The wallets of a browser: finding them, and asking them to sign.
//
// 1. They are found by the two protocols with which wallets announce themselves, EIP-6963 for EVM chains and Wallet
//    Standard for Solana. Where neither finds one, by the objects that older wallets leave on the window.
// 2. A wallet's name and icon are a stranger's: names lose what does not print and are short, icons are `data:` images.
// 3. What a wallet does wrong is a `WalletError` in words for a person.
//
// A wallet is `{ id, name, icon, family, hint }` and either `signIn(fields)`, when it writes the text itself, or `connect()`
// and `sign(text, account)`. All of them give addresses, texts and signatures as the gateway reads them.

import { base58, checksummed, hex, utf8 } from './encodings.js'

// Of an extension that announces itself without end.
const WALLETS_MAX = 32
const NAME_CHARS_MAX = 40
const ICON_CHARS_MAX = 200_000

// One that was not announced, and so has no name.
const UNNAMED = 'Browser wallet'

const ICON = /^data:image\/(?:avif|gif|jpeg|png|svg\+xml|webp)[;,]/i

// EIP-1193 and EIP-1474: refused, already asking; and of the switching of chains, not known.
const REFUSED = 4001
const BUSY = -32002
const UNKNOWN_CHAIN = 4902

/** Why a wallet gave no signature: `refused`, `busy`, `no_account`, `unknown_chain`, `other_text` or `failed`. */
export class WalletError extends Error {
  constructor(kind, message) {
    super(message)
    this.kind = kind
  }
}

/**
 * Looks for wallets, and goes on looking: `changed` is called with all of them, now and whenever there are others. The
 * function that it gives looks again.
 */
export function findWallets(changed) {
  const found = new Map()
  const older = new Map()
  const tell = () => changed(listed(found, older))
  const add = (keyOf, make) => {
    try {
      const key = keyOf()
      if (found.has(key) || found.size >= WALLETS_MAX) return
      const wallet = make()
      if (wallet) found.set(key, { ...wallet, id: `${wallet.family} ${found.size}` })
    } catch {
      // An announcement that cannot be read is none.
    }
  }

  window.addEventListener('eip6963:announceProvider', ({ detail }) => {
    add(() => detail.info.uuid, () => ethereum(detail.provider, detail.info))
    tell()
  })
  const api = Object.freeze({
    register(...wallets) {
      for (const wallet of wallets) add(() => wallet, () => standard(wallet))
      tell()
      return () => {
        for (const wallet of wallets) found.delete(wallet)
        tell()
      }
    },
  })
  window.addEventListener('wallet-standard:register-wallet', ({ detail }) => detail?.(api))

  const look = () => {
    window.dispatchEvent(new Event('eip6963:requestProvider'))
    window.dispatchEvent(new CustomEvent('wallet-standard:app-ready', { detail: api }))
    tell()
  }
  window.addEventListener('ethereum#initialized', look)
  look()
  return look
}

// What announced itself, and what older wallets left, for a family of which none did.
function listed(found, older) {
  const wallets = [...found.values()]
  const add = (family, object, usable, make) => {
    if (!usable || wallets.some((wallet) => wallet.family === family)) return
    if (!older.has(object)) older.set(object, { ...make(), id: `${family} older` })
    wallets.push(older.get(object))
  }
  const { ethereum: evm, phantom, solana = phantom?.solana } = window
  add('eip155', evm, typeof evm?.request === 'function', () => ethereum(evm, { name: UNNAMED }))
  add('solana', solana, typeof solana?.connect === 'function', () => olderSolana(solana))
  return wallets
}

// === EVM chains (EIP-1193) ===

function ethereum(provider, { name, icon, rdns }) {
  if (typeof provider?.request !== 'function') return null
  const request = (method, params) => asked(() => provider.request({ method, params }))
  return {
    ...shown(name, icon, rdns),
    family: 'eip155',

    async connect() {
      const [address] = (await request('eth_requestAccounts')) ?? []
      if (!/^0x[0-9a-f]{40}$/i.test(address)) throw new WalletError('no_account', 'it shared no account')
      return { address: checksummed(address), chainId: `eip155:${BigInt(await request('eth_chainId'))}` }
    },

    async sign(text, { address }) {
      const signature = await request('personal_sign', [`0x${hex(utf8(text))}`, address])
      return { message: text, signature: String(signature) }
    },

    async switchTo(chainId) {
      await request('wallet_switchEthereumChain', [{ chainId: `0x${BigInt(chainId.split(':')[1]).toString(16)}` }])
    },
  }
}

// === Solana (Wallet Standard, and what Phantom had before it) ===

function standard(wallet) {
  const { name, icon, features, chains } = wallet
  const feature = (name, method) => typeof features[name]?.[method] === 'function'
  const solana = Array.from(chains).filter((chain) => String(chain).startsWith('solana:'))
  if (solana.length === 0) return null

  const known = { ...shown(name, icon), family: 'solana' }
  if (feature('solana:signIn', 'signIn')) {
    return {
      ...known,
      async signIn(fields) {
        const [output] = await asked(() => features['solana:signIn'].signIn(fields))
        return proof(output.account.address, output, fields.domain)
      },
    }
  }
  if (!feature('solana:signMessage', 'signMessage') || !feature('standard:connect', 'connect')) return null
  return {
    ...known,
    async connect() {
      const { accounts } = await asked(() => features['standard:connect'].connect())
      const account = accounts.find((account) => account.chains.some((chain) => chain.startsWith('solana:')))
      if (!account) throw new WalletError('no_account', 'it shared no account')
      return { address: account.address, account }
    },
    async sign(text, { account }) {
      const message = utf8(text)
      const [output] = await asked(() => features['solana:signMessage'].signMessage({ account, message }))
      return { message: text, signature: base58(output.signature) }
    },
  }
}

function olderSolana(provider) {
  const known = { ...shown(provider.isPhantom ? 'Phantom' : UNNAMED), family: 'solana' }
  if (typeof provider.signIn === 'function') {
    return {
      ...known,
      async signIn(fields) {
        const output = await asked(() => provider.signIn(fields))
        return proof(String(output.address ?? output.account.address), output, fields.domain)
      },
    }
  }
  return {
    ...known,
    async connect() {
      const connected = await asked(() => provider.connect())
      const key = connected?.publicKey ?? provider.publicKey
      if (!key) throw new WalletError('no_account', 'it shared no account')
      return { address: key.toString() }
    },
    async sign(text) {
      const output = await asked(() => provider.signMessage(utf8(text), 'utf8'))
      return { message: text, signature: base58(output.signature ?? output) }
    },
  }
}

// What `signIn` gave. A hardware wallet signs the text in an envelope, at whose end it stands.
function proof(address, { signedMessage, signature }, domain) {
  const begins = utf8(`${domain} wants you to sign in with your `)
  const at = signedMessage.findIndex((_, at) => begins.every((byte, offset) => signedMessage[at + offset] === byte))
  if (at < 0) throw new WalletError('other_text', 'it signed another text than it was asked for')
  const message = new TextDecoder('utf-8', { ignoreBOM: true }).decode(signedMessage.subarray(at))
  return { address, message, signature: base58(signature) }
}

// === what all have in common ===

async function asked(ask) {
  try {
    return await ask()
  } catch (error) {
    const code = error?.code ?? error?.data?.originalError?.code
    const message = printable(error?.message ?? error, 200)
    if (code === REFUSED || /reject|denied|declin|cancel/i.test(message)) throw new WalletError('refused', message)
    if (code === BUSY) throw new WalletError('busy', message)
    if (code === UNKNOWN_CHAIN) throw new WalletError('unknown_chain', message)
    throw new WalletError('failed', message)
  }
}

function shown(name, icon, hint) {
  const isImage = typeof icon === 'string' && icon.length <= ICON_CHARS_MAX && ICON.test(icon)
  return {
    name: printable(name, NAME_CHARS_MAX) || UNNAMED,
    icon: isImage ? icon : null,
    hint: printable(hint ?? '', NAME_CHARS_MAX),
  }
}

// A stranger's text without what does not print, what turns the direction of writing, and most of its length.
function printable(text, most) {
  const chars = [...String(text).slice(0, 4 * most).replace(/[\p{C}\p{Z}]+/gu, ' ').trim()]
  return chars.length > most ? `${chars.slice(0, most - 1).join('')}…` : chars.join('')
}

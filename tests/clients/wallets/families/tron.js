// Wallets of Tron.

import { TronWeb } from 'tronweb'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

// Signing asks nobody; the address is one where nobody listens.
const tronWeb = new TronWeb({ fullHost: 'http://127.0.0.1:9' })

/** Makes a new wallet, which signs as wallets do that have `signMessageV2` (TIP-191). */
export function tronWallet() {
  const { privateKey, address } = tronWeb.utils.accounts.generateAccount()
  return {
    ...{ label: 'TRON', chain: 'tron:0x2b6653dc', address: address.base58, scheme: 'tip191' },
    sign: async (text) => tronWeb.trx.signMessageV2(text, privateKey.replace(/^0x/, '')),
    /** What a wallet of Ethereum with the same key signs: another prefix (EIP-191). */
    signAsEthereum: (text) => privateKeyToAccount(`0x${privateKey.replace(/^0x/, '')}`).signMessage({ message: text }),
  }
}

/** A wallet of Ethereum that can also sign as if it were one of Tron. */
export function ethereumWallet(chain) {
  const secret = generatePrivateKey()
  const key = privateKeyToAccount(secret)
  return {
    ...{ label: 'Ethereum', chain, address: key.address, sign: (text) => key.signMessage({ message: text }) },
    signAsTron: async (text) => tronWeb.trx.signMessageV2(text, secret.slice(2)),
  }
}

/** What tronweb says of a signature. */
export async function verifyTron({ address }, text, signature) {
  try {
    return (await tronWeb.trx.verifyMessageV2(text, signature)) === address
  } catch {
    return false
  }
}

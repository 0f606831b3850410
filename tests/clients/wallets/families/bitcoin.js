// Wallets of Bitcoin: one key, an address of each type, and the two ways in which its owners sign messages.

import { Buffer } from 'node:buffer'

import * as curve from '@bitcoinerlab/secp256k1'
import { networks, payments } from 'bitcoinjs-lib'
import { Address, Signer, Verifier } from 'bip322-js'
import bitcoinMessage from 'bitcoinjs-message'
import { ECPairFactory } from 'ecpair'

const ECPair = ECPairFactory(curve)

/** The chains, by the network whose addresses are used on them: BIP-122's prefix of the genesis block's hash. */
export const CHAINS = {
  mainnet: 'bip122:000000000019d6689c085ae165831e93',
  testnet: 'bip122:000000000933ea01ad0ee984209779ba',
}
const NETWORKS = { mainnet: networks.bitcoin, testnet: networks.testnet }

/**
 * What wallets do: BIP-322 for every type that has it, and BIP-137 with the header of the type, with that of Electrum
 * and others, who write P2PKH's for all, and with a taproot address, as UniSat and OKX do.
 */
const WAYS = [
  { title: 'P2WPKH, BIP-322', type: 'p2wpkh', scheme: 'bip322' },
  { title: 'P2SH-P2WPKH, BIP-322', type: 'p2sh-p2wpkh', scheme: 'bip322' },
  { title: 'P2TR, BIP-322', type: 'p2tr', scheme: 'bip322' },
  { title: 'P2PKH', type: 'p2pkh', scheme: 'bip137' },
  { title: 'P2PKH of an uncompressed key', type: 'p2pkh', scheme: 'bip137', compressed: false },
  { title: 'P2SH-P2WPKH, BIP-137', type: 'p2sh-p2wpkh', scheme: 'bip137', segwitType: 'p2sh(p2wpkh)' },
  { title: 'P2WPKH, BIP-137', type: 'p2wpkh', scheme: 'bip137', segwitType: 'p2wpkh' },
  { title: "P2SH-P2WPKH, BIP-137 with P2PKH's header", type: 'p2sh-p2wpkh', scheme: 'bip137' },
  { title: "P2WPKH, BIP-137 with P2PKH's header", type: 'p2wpkh', scheme: 'bip137' },
  { title: "P2TR, BIP-137 with P2PKH's header", type: 'p2tr', scheme: 'bip137' },
]

/** Every way on every network; `make` makes a new wallet. */
export const bitcoin = Object.keys(CHAINS).flatMap((network) =>
  WAYS.map((way) => ({ ...way, title: `${way.title}, ${network}`, make: () => makeWallet(way, network) })),
)

function makeWallet({ type, scheme, compressed = true, segwitType }, network) {
  const key = ECPair.makeRandom({ compressed, network: NETWORKS[network] })
  // The helper of bip322-js compresses keys.
  const address = compressed
    ? Address.convertPubKeyIntoAddress(key.publicKey, type)[network]
    : payments.p2pkh({ pubkey: key.publicKey, network: NETWORKS[network] }).address
  const byKey = (text) => bitcoinMessage.sign(text, key.privateKey, compressed, segwitType && { segwitType }).toString('base64')
  const sign = scheme === 'bip322' ? (text) => Signer.sign(key.toWIF(), address, text) : byKey
  return { label: 'Bitcoin', chain: CHAINS[network], address, scheme, sign: async (text) => sign(text) }
}

/** What bip322-js says of a signature: it reads both forms, and any header for any type. */
export function verifyBitcoin({ address }, text, signature) {
  try {
    return Verifier.verifySignature(address, text, signature)
  } catch {
    return false
  }
}

/** What bitcoinjs-message says of a BIP-137 signature; headers as wallets write them, for the types it knows. */
export function verifyBip137({ address }, text, signature) {
  const header = Buffer.from(signature, 'base64')[0]
  return bitcoinMessage.verify(text, address, signature, null, header >= 31)
}

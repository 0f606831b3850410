// Wallets of Sui, one for each curve.

import { Buffer } from 'node:buffer'

import { Ed25519Keypair } from '@mysten/sui/keypairs/ed25519'
import { Secp256k1Keypair } from '@mysten/sui/keypairs/secp256k1'
import { Secp256r1Keypair } from '@mysten/sui/keypairs/secp256r1'
import { isValidPersonalMessageSignature } from '@mysten/sui/verify'

const KEYS = { Ed25519: Ed25519Keypair, Secp256k1: Secp256k1Keypair, Secp256r1: Secp256r1Keypair }

/** A row for each curve; `make` makes a new wallet. */
export const sui = Object.entries(KEYS).map(([title, Keypair]) => ({ title, make: () => makeWallet(Keypair) }))

function makeWallet(Keypair) {
  const key = Keypair.generate()
  return {
    ...{ label: 'Sui', chain: 'sui:mainnet', address: key.toSuiAddress(), scheme: 'sui' },
    sign: async (text) => (await key.signPersonalMessage(Buffer.from(text))).signature,
    /** The same bytes as a transaction's: another intent. */
    signAsTransaction: async (text) => (await key.signTransaction(Buffer.from(text))).signature,
  }
}

/** What @mysten/sui says of a signature. */
export const verifySui = ({ address }, text, signature) =>
  isValidPersonalMessageSignature(Buffer.from(text), signature, { address })

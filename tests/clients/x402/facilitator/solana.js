// Checks `exact` payments on Solana, and signs them as their fee payer.
//
// 1. The transaction decodes without a byte left over, and asks for two signatures: the fee payer's, which is this
//    facilitator, and the payer's, which is there and right over the message bytes.
// 2. It transfers once, by `TransferChecked` of a token program: the amount, of the mint, from the payer's own
//    associated token account to the one of `payTo`.
// 3. Beside that it may set compute limits and carry memos. Nothing else, and the fee payer is in no instruction.

import { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'

import {
  address,
  getAddressEncoder,
  getBase58Decoder,
  getCompiledTransactionMessageDecoder,
  getProgramDerivedAddress,
  getTransactionDecoder,
  getTransactionEncoder,
  isAddress,
} from '@solana/kit'

import { Refused, decimal, demand, isObject, paymentId } from './answers.js'

const TOKEN_PROGRAMS = ['TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb']
const ASSOCIATED_TOKEN_PROGRAM = 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL'
const SIDE_PROGRAMS = ['ComputeBudget111111111111111111111111111111', 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr']

// Instruction 12 of the token programs: `amount` as u64, little-endian, then `decimals` as u8.
const TRANSFER_CHECKED = 12
const TRANSFER_CHECKED_BYTES = 10

const INVALID = 'invalid_exact_svm_payload_transaction'

/** Node reads Ed25519 seeds in a PKCS #8 wrapping alone (RFC 8410). */
const PKCS8_SEED = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The key that pays fees: its address, and its signature over message bytes. */
export function feePayerFrom(seed) {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_SEED, seed]), format: 'der', type: 'pkcs8' })
  const bytes = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x, 'base64url')
  return { address: getBase58Decoder().decode(bytes), sign: (message) => sign(null, message, key) }
}

/** Checks one payment and returns what the books need, or throws `Refused`. */
export async function checkSolana({ payload, requirement, feePayer }) {
  demand(isObject(payload) && typeof payload.transaction === 'string', 'invalid_payload', 'expected a transaction')
  demand(isAddress(requirement.asset) && isAddress(requirement.payTo), 'invalid_payload', 'expected addresses in the requirement')
  const { transaction, message } = decode(payload.transaction)

  const accounts = message.staticAccounts
  demand(accounts[0] === feePayer.address, 'fee_payer_mismatch', `fees are paid by ${accounts[0]}, not by ${feePayer.address}`)
  demand((message.addressTableLookups ?? []).length === 0, INVALID, 'expected no address lookup tables')
  demand(message.header.numSignerAccounts === 2, INVALID, `expected two signers, found ${message.header.numSignerAccounts}`)
  const payer = accounts[1]
  demandTransfer(await transferTerms(requirement, payer, message), message, payer)

  const signature = transaction.signatures[payer]
  demand(signature !== null && signature !== undefined, INVALID, `${payer} has not signed`, payer)
  demand(verify(null, transaction.messageBytes, publicKey(payer), signature), INVALID, `the signature is not of ${payer}`, payer)

  const { network, scheme, asset, payTo, amount } = requirement
  return {
    id: paymentId(`${network}|`, transaction.messageBytes),
    ...{ network, scheme, asset, pay_to: payTo, amount, payer, nonce: null },
    // On Solana a transaction goes by its fee payer's signature.
    transaction: getBase58Decoder().decode(feePayer.sign(transaction.messageBytes)),
    used: 'duplicate_settlement',
  }
}

function decode(text) {
  try {
    const bytes = Buffer.from(text, 'base64')
    const transaction = getTransactionDecoder().decode(bytes)
    const message = getCompiledTransactionMessageDecoder().decode(transaction.messageBytes)
    // Decoders ignore what follows the message; so two texts would be one payment.
    if (!Buffer.from(getTransactionEncoder().encode(transaction)).equals(bytes)) throw new Error('bytes are left over')
    return { transaction, message }
  } catch (error) {
    throw new Refused(INVALID, `expected a transaction: ${error.message}`)
  }
}

async function transferTerms(requirement, payer, message) {
  const program = message.instructions
    .map((instruction) => message.staticAccounts[instruction.programAddressIndex])
    .find((name) => TOKEN_PROGRAMS.includes(name))
  demand(program !== undefined, INVALID, 'expected a transfer by a token program', payer)
  return {
    program,
    source: await tokenAccount(payer, program, requirement.asset),
    mint: requirement.asset,
    destination: await tokenAccount(requirement.payTo, program, requirement.asset),
    amount: decimal(requirement.amount, 'amount'),
  }
}

function demandTransfer(terms, message, payer) {
  const feePayerIndex = 0
  let transfers = 0
  for (const { programAddressIndex, accountIndices = [], data = new Uint8Array() } of message.instructions) {
    demand(!accountIndices.includes(feePayerIndex), INVALID, 'the fee payer is an account of an instruction', payer)
    const program = message.staticAccounts[programAddressIndex]
    if (SIDE_PROGRAMS.includes(program)) continue
    demand(program === terms.program, INVALID, `calls ${program}`, payer)
    demand(data[0] === TRANSFER_CHECKED && data.length === TRANSFER_CHECKED_BYTES, INVALID, 'expected TransferChecked', payer)
    transfers += 1
    const [source, mint, destination, authority] = accountIndices.map((index) => message.staticAccounts[index])
    demand(accountIndices.length === 4 && authority === payer, INVALID, `the authority is ${authority}, not ${payer}`, payer)
    demand(mint === terms.mint, 'invalid_exact_svm_payload_mint_mismatch', `transfers ${mint}, not ${terms.mint}`, payer)
    demand(source === terms.source, INVALID, `takes from ${source}, not from ${terms.source}`, payer)
    demand(
      destination === terms.destination,
      'invalid_exact_svm_payload_recipient_mismatch',
      `pays ${destination}, not ${terms.destination}`,
      payer,
    )
    const amount = Buffer.from(data).readBigUInt64LE(1)
    demand(amount === terms.amount, 'invalid_exact_svm_payload_amount_mismatch', `pays ${amount}, not ${terms.amount}`, payer)
  }
  demand(transfers === 1, INVALID, `expected one transfer, found ${transfers}`, payer)
}

/** The associated token account of `owner` for `mint`. */
export async function tokenAccount(owner, program, mint) {
  const bytes = getAddressEncoder()
  const [account] = await getProgramDerivedAddress({
    programAddress: address(ASSOCIATED_TOKEN_PROGRAM),
    seeds: [owner, program, mint].map((name) => bytes.encode(address(name))),
  })
  return account
}

function publicKey(name) {
  const x = Buffer.from(getAddressEncoder().encode(address(name))).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

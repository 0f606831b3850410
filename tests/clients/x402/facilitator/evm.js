// Checks payments on EVM networks: `exact` by EIP-3009 or Permit2, and `upto` by Permit2.
//
// 1. A signature counts when the typed data of the *requirement* (token, chain, domain) recovers to the payer. What the
//    payload says of token or chain is not asked.
// 2. Times are judged by the facilitator's own clock: `validAfter` is past, `validBefore` (or `deadline`) is to come.
// 3. Nothing is read from a chain: balances and allowances are endless here, and used nonces are known from the books.

import { getAddress, isAddress, keccak256, recoverTypedDataAddress } from 'viem'

import { decimal, demand, isObject, paymentId } from './answers.js'

// Where Permit2 and the contracts of x402 that spend by it are deployed, on every EVM network.
const PERMIT2 = '0x000000000022D473030F116dDEE9F6B43aC78BA3'
const PROXIES = {
  exact: '0x402085c248EeA27D92E8b30b2C58ed07f9E20001',
  upto: '0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002',
}

// EIP-3009.
const TRANSFER_WITH_AUTHORIZATION = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'validAfter', type: 'uint256' },
  { name: 'validBefore', type: 'uint256' },
  { name: 'nonce', type: 'bytes32' },
]

const PERMIT = [
  { name: 'permitted', type: 'TokenPermissions' },
  { name: 'spender', type: 'address' },
  { name: 'nonce', type: 'uint256' },
  { name: 'deadline', type: 'uint256' },
  { name: 'witness', type: 'Witness' },
]
const TOKEN_PERMISSIONS = [
  { name: 'token', type: 'address' },
  { name: 'amount', type: 'uint256' },
]
const WITNESSES = {
  exact: [
    { name: 'to', type: 'address' },
    { name: 'validAfter', type: 'uint256' },
  ],
  upto: [
    { name: 'to', type: 'address' },
    { name: 'facilitator', type: 'address' },
    { name: 'validAfter', type: 'uint256' },
  ],
}

/**
 * Checks one payment and returns what the books need, or throws `Refused`.
 *
 * `settling` tells whether the amount of the requirement is what is to be charged (it may then be less than what an
 * `upto` payer signed) or what has to be covered. `facilitator` is this facilitator's own address, `now` is in seconds.
 */
export async function checkEvm({ payload, requirement, settling, facilitator, now }) {
  demand(isObject(payload), 'invalid_payload', 'expected an object as payload')
  demand(isAddress(requirement.asset) && isAddress(requirement.payTo), 'invalid_payload', 'expected addresses in the requirement')
  const chainId = Number(requirement.network.split(':')[1])
  if (requirement.scheme === 'upto' || requirement.extra?.assetTransferMethod === 'permit2') {
    return checkPermit2({ payload, requirement, settling, facilitator, now, chainId })
  }
  return checkEip3009({ payload, requirement, now, chainId })
}

async function checkEip3009({ payload, requirement, now, chainId }) {
  const { authorization, signature } = payload
  demand(isObject(authorization) && typeof signature === 'string', 'invalid_payload', 'expected authorization and signature')
  const { from, to, nonce } = authorization
  demand(
    isAddress(from, { strict: false }) && isAddress(to, { strict: false }),
    'invalid_payload',
    'expected addresses in the authorization',
  )
  demand(/^0x[0-9a-fA-F]{64}$/.test(nonce), 'invalid_payload', `expected a nonce of 32 bytes, found ${nonce}`)
  const value = decimal(authorization.value, 'value')
  const validAfter = decimal(authorization.validAfter, 'validAfter')
  const validBefore = decimal(authorization.validBefore, 'validBefore')
  const { name, version } = requirement.extra ?? {}
  demand(
    typeof name === 'string' && typeof version === 'string',
    'missing_eip712_domain',
    "expected the token's name and version in extra",
  )

  const payer = getAddress(from)
  demand(
    getAddress(to) === getAddress(requirement.payTo),
    'invalid_exact_evm_recipient_mismatch',
    `pays ${to}, not ${requirement.payTo}`,
    payer,
  )
  demand(
    value === decimal(requirement.amount, 'amount'),
    'invalid_exact_evm_payload_authorization_value_mismatch',
    `pays ${value}, not ${requirement.amount}`,
    payer,
  )
  demand(
    validAfter <= now,
    'invalid_exact_evm_payload_authorization_valid_after',
    `valid after ${validAfter}, and it is ${now}`,
    payer,
  )
  demand(
    validBefore > now,
    'invalid_exact_evm_payload_authorization_valid_before',
    `valid before ${validBefore}, and it is ${now}`,
    payer,
  )
  await demandSigner(payer, 'invalid_exact_evm_signature', {
    signature,
    domain: { name, version, chainId, verifyingContract: getAddress(requirement.asset) },
    types: { TransferWithAuthorization: TRANSFER_WITH_AUTHORIZATION },
    primaryType: 'TransferWithAuthorization',
    message: { from: payer, to: getAddress(to), value, validAfter, validBefore, nonce },
  })
  return { ...evmRecord(requirement, payer, nonce), used: 'invalid_exact_evm_nonce_already_used' }
}

async function checkPermit2({ payload, requirement, settling, facilitator, now, chainId }) {
  const { permit2Authorization: permit, signature } = payload
  demand(
    isObject(permit) && isObject(permit.permitted) && isObject(permit.witness) && typeof signature === 'string',
    'invalid_payload',
    'expected permit2Authorization and signature',
  )
  const addresses = [permit.from, permit.permitted.token, permit.spender, permit.witness.to]
  if (requirement.scheme === 'upto') addresses.push(permit.witness.facilitator)
  demand(
    addresses.every((address) => isAddress(address, { strict: false })),
    'invalid_payload',
    'expected addresses in the permit',
  )
  const amount = decimal(permit.permitted.amount, 'permitted.amount')
  const nonce = decimal(permit.nonce, 'nonce')
  const deadline = decimal(permit.deadline, 'deadline')
  const validAfter = decimal(permit.witness.validAfter, 'witness.validAfter')
  const charge = decimal(requirement.amount, 'amount')
  const { scheme } = requirement

  const payer = getAddress(permit.from)
  const same = (one, other) => getAddress(one) === getAddress(other)
  demand(same(permit.permitted.token, requirement.asset), 'permit2_token_mismatch', `permits ${permit.permitted.token}`, payer)
  demand(same(permit.spender, PROXIES[scheme]), 'invalid_permit2_spender', `permits ${permit.spender} to spend`, payer)
  demand(same(permit.witness.to, requirement.payTo), 'invalid_permit2_recipient_mismatch', `pays ${permit.witness.to}`, payer)
  const fits = scheme === 'upto' && settling ? charge <= amount : charge === amount
  demand(fits, 'permit2_amount_mismatch', `permits ${amount}, and ${charge} is asked for`, payer)
  demand(validAfter <= now, 'permit2_not_yet_valid', `valid after ${validAfter}, and it is ${now}`, payer)
  demand(deadline > now, 'permit2_deadline_expired', `valid until ${deadline}, and it is ${now}`, payer)
  const witness = { to: getAddress(permit.witness.to), validAfter }
  if (scheme === 'upto') {
    demand(
      same(permit.witness.facilitator, facilitator),
      'upto_facilitator_mismatch',
      `names the facilitator ${permit.witness.facilitator}`,
      payer,
    )
    witness.facilitator = getAddress(permit.witness.facilitator)
  }
  await demandSigner(payer, 'invalid_permit2_signature', {
    signature,
    domain: { name: 'Permit2', chainId, verifyingContract: PERMIT2 },
    types: { PermitWitnessTransferFrom: PERMIT, TokenPermissions: TOKEN_PERMISSIONS, Witness: WITNESSES[scheme] },
    primaryType: 'PermitWitnessTransferFrom',
    message: {
      permitted: { token: getAddress(permit.permitted.token), amount },
      spender: getAddress(permit.spender),
      nonce,
      deadline,
      witness,
    },
  })
  return { ...evmRecord(requirement, payer, permit.nonce), used: 'permit2_invalid_nonce' }
}

async function demandSigner(payer, reason, { signature, ...typedData }) {
  demand(/^0x[0-9a-fA-F]{130}$/.test(signature), reason, 'expected a signature of 65 bytes in hex', payer)
  let signer
  try {
    signer = await recoverTypedDataAddress({ ...typedData, signature })
  } catch {
    signer = 'nobody'
  }
  demand(signer === payer, reason, `signed by ${signer}, not by ${payer}`, payer)
}

function evmRecord(requirement, payer, nonce) {
  const { network, scheme, asset, payTo, amount } = requirement
  const id = paymentId([network, asset, payer, nonce].join('|').toLowerCase())
  // A hash like a transaction's, the same each time it is asked for.
  const transaction = keccak256(`0x${id}`)
  return { id, network, scheme, asset, pay_to: payTo, amount, payer, nonce, transaction }
}

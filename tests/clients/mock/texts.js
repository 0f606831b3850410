// Signing texts, read the way the gateway reads them: one grammar, one reading or none.

import { Refused } from './refused.js'

const TEXT = new RegExp(
  '^(?<domain>[a-z0-9.:[\\]-]+) wants you to sign in with your (?<label>[A-Za-z0-9][A-Za-z0-9 .()-]{0,63}) account:\n' +
    '(?<address>0x[0-9a-fA-F]{40}|[1-9A-HJ-NP-Za-km-z]{32,44})\n' +
    '\n(?:(?<statement>[ -~]+)\n\n|\n{0,2})' +
    'URI: (?<uri>[!-~]+)\nVersion: 1\nChain ID: (?<chain>[-_a-zA-Z0-9:]+)\nNonce: (?<nonce>[a-zA-Z0-9]{8,128})\n' +
    'Issued At: (?<issuedAt>[-0-9T:.]+Z)' +
    '(?:\nExpiration Time: (?<expirationTime>[-0-9T:.]+Z))?(?:\nNot Before: (?<notBefore>[-0-9T:.]+Z))?' +
    '(?:\nRequest ID: (?<requestId>[!-~]*))?(?:\nResources:(?<resources>(?:\n- [a-zA-Z][a-zA-Z0-9+.-]*:[!-~]+)*))?$',
)

const CLUSTERS = {
  mainnet: '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  testnet: '4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z',
  devnet: 'EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
}

/** The fields of a text, with `account` as CAIP-10 and `chainId` as CAIP-2. */
export function readText(text) {
  const fields = typeof text === 'string' ? TEXT.exec(text)?.groups : undefined
  if (!fields) throw new Refused(400, 'invalid_header', 'expected a sign-in text, found something else')
  const family = fields.address.startsWith('0x') ? 'eip155' : 'solana'
  const [namespace, reference] = fields.chain.includes(':') ? fields.chain.split(':') : [family, fields.chain]
  if (namespace !== family) throw new Refused(400, 'namespace_mismatch', `the account is of ${family}, the chain of ${namespace}`)
  const chainId = `${family}:${CLUSTERS[reference] ?? reference}`
  return { ...fields, chainId, account: `${chainId}:${fields.address}` }
}

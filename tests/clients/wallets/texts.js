// What wallets are asked to sign: the words of ERC-4361 for Ethereum, and of the CAIP-122 template for other families.

import { createSiweMessage } from 'viem/siwe'

/** A text of these fields for an account of a chain, by its CAIP-2 id; `label` is the word for its family. */
export function write({ label, chain, address }, said) {
  const reference = chain.slice(chain.indexOf(':') + 1)
  if (chain.startsWith('eip155:')) return createSiweMessage({ address, version: '1', chainId: Number(reference), ...said })
  const { domain, uri, statement, nonce, issuedAt, expirationTime } = said
  const lines = [
    `${domain} wants you to sign in with your ${label} account:`,
    ...[address, '', statement, ''],
    ...[`URI: ${uri}`, 'Version: 1', `Chain ID: ${reference}`, `Nonce: ${nonce}`, `Issued At: ${issuedAt.toISOString()}`],
    `Expiration Time: ${expirationTime.toISOString()}`,
  ]
  return lines.join('\n')
}

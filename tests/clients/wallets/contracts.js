// The contracts of this folder, compiled.
//
//     node contracts.js FILE    writes them to a file, for processes that find it by WALLETS_CONTRACTS

import fs from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const FOLDER = new URL('./contracts/', import.meta.url)

/** Every contract by its name: `{ abi, bytecode }`. */
export async function loadContracts() {
  const file = process.env.WALLETS_CONTRACTS
  return file === undefined ? compile() : JSON.parse(fs.readFileSync(file, 'utf8'))
}

/** A warning of the compiler is an error here. */
async function compile() {
  const { default: solc } = await import('solc')
  const names = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.sol'))
  const sources = Object.fromEntries(names.map((name) => [name, { content: fs.readFileSync(new URL(name, FOLDER), 'utf8') }]))
  const settings = {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: 'prague',
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
  }
  const { contracts = {}, errors = [] } = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings })))
  if (errors.length > 0) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join('\n'))
  return Object.fromEntries(
    Object.values(contracts).flatMap((file) =>
      Object.entries(file).map(([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }]),
    ),
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  fs.writeFileSync(process.argv[2], JSON.stringify(await compile()))
}

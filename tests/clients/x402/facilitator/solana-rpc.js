// The two questions that stock clients ask a Solana node before they sign: what a mint is, and the latest blockhash.
//
// Every address is a mint of the first token program with six decimals, as USDC is. Blockhashes are never looked at
// again, so one serves for all.

const TOKEN_PROGRAM = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA'
const BLOCKHASH = '9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin'
const CONTEXT = { slot: 1, apiVersion: '2.0.0' }

/** An account of a mint: 82 bytes; decimals are at 44, whether it is initialized at 45. */
function mint() {
  const data = Buffer.alloc(82)
  data[44] = 6
  data[45] = 1
  return {
    data: [data.toString('base64'), 'base64'],
    executable: false,
    lamports: 1461600,
    owner: TOKEN_PROGRAM,
    rentEpoch: 0,
    space: 82,
  }
}

/** Answers one JSON-RPC request. */
export function answerRpc({ id, method }) {
  switch (method) {
    case 'getAccountInfo':
      return { jsonrpc: '2.0', id, result: { context: CONTEXT, value: mint() } }
    case 'getLatestBlockhash':
      return { jsonrpc: '2.0', id, result: { context: CONTEXT, value: { blockhash: BLOCKHASH, lastValidBlockHeight: 1000 } } }
    default:
      return { jsonrpc: '2.0', id, error: { code: -32601, message: `there is no ${method}` } }
  }
}

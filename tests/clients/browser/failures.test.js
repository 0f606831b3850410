// Everything that can go wrong while a person signs in is said in words, and leaves the page ready for another try.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { after, before, describe, test } from 'node:test'

import { complaint, goods, launch, mockOnly, opened as openedIn, sessionCookies } from './browser.js'
import { BUSY, EvmWallet, REFUSES, SolanaWallet } from './wallets.js'

let browser
const opened = (...about) => openedIn(browser, ...about)

before(async () => {
  browser = await launch()
})

after(() => browser.close())

describe('what goes wrong is said in words', () => {
  /** The page after this wallet was chosen, with what it says and another try. */
  async function afterChoosing(wallet, expected, run = () => {}, options = {}) {
    await opened(
      [wallet],
      async (opened) => {
        const { page, url, click, mock } = opened
        await page.goto(`${url}/me`)
        await page.getByRole('button', { name: wallet.name }).waitFor()
        if (mock) mock.asked.length = 0
        await click(wallet.name)
        await complaint(page, expected)
        await run(opened)
      },
      options,
    )
  }

  async function triesAgain({ page, click }, wallet) {
    wallet.behaves = {}
    await click(wallet.name)
    await goods(page)
  }

  for (const method of ['eth_requestAccounts', 'personal_sign']) {
    test(`the person declines (${method}), and tries again`, async () => {
      const wallet = new EvmWallet()
      wallet.behaves[method] = REFUSES
      await afterChoosing(wallet, /^You declined in Meadow\. Nothing was signed\.$/, async (opened) => {
        assert.match(await opened.page.evaluate(() => document.activeElement.innerText), /Meadow/)
        await triesAgain(opened, wallet)
      })
    })
  }

  for (const features of [['signIn'], ['signMessage']]) {
    test(`the person declines in a Solana wallet (${features})`, async () => {
      const wallet = new SolanaWallet({ features })
      wallet.behaves[features[0]] = { message: 'The user declined the request' }
      await afterChoosing(wallet, /^You declined in Sundial\. Nothing was signed\.$/, (opened) => triesAgain(opened, wallet))
    })
  }

  test('the wallet waits for an earlier answer', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.eth_requestAccounts = BUSY
    await afterChoosing(wallet, /^Meadow is waiting for an answer to an earlier question\./)
  })

  test('the wallet shares no account', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.eth_requestAccounts = () => []
    await afterChoosing(wallet, /^Meadow shared no account\./, (opened) => triesAgain(opened, wallet))
  })

  test('the wallet fails with words of its own, which are text', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.personal_sign = { code: -32603, message: '<b>Ledger:</b> blind signing\u202e is off' }
    await afterChoosing(wallet, /^Meadow could not sign: <b>Ledger:<\/b> blind signing is off$/)
  })

  test('the wallet signs another text than it was asked for', async () => {
    const wallet = new SolanaWallet()
    wallet.behaves.signIn = () => wallet.signMessage(Array.from(Buffer.from('send all my tokens to evil.example')))
    await afterChoosing(wallet, /^Sundial signed another text than it was asked for\./, ({ mock }) => {
      assert.ok(!mock?.asked.includes('POST /.siwx/sessions'), 'nothing was sent')
    })
  })

  test('the signature is refused, with the sentence of the gateway', async () => {
    const wallet = new EvmWallet()
    const other = new EvmWallet()
    wallet.behaves.personal_sign = ([data]) => other.personal_sign([data, other.address])
    await afterChoosing(wallet, /^The signature was refused: .*signature.*\.$/, (opened) => triesAgain(opened, wallet))
  })

  test('the network of the wallet is not taken: it is switched', mockOnly, async () => {
    const wallet = new EvmWallet({ chainId: 137 })
    const run = async ({ page }) => {
      const button = page.getByRole('button', { name: 'Switch to Base' })
      assert.ok(await button.evaluate((button) => button === document.activeElement), 'the button has the focus')
      await button.click()
      await goods(page)
      assert.match(wallet.signed[0], /\nChain ID: 8453\n/)
    }
    const options = { gateway: { chains: ['eip155:8453', 'eip155:1'] } }
    await afterChoosing(wallet, /^Meadow is on Polygon, which is not taken here\. Switch it to Base, Ethereum\./, run, options)
  })

  test('the wallet does not know the network to switch to', mockOnly, async () => {
    const wallet = new EvmWallet({ chainId: 137 })
    wallet.behaves.wallet_switchEthereumChain = { code: 4902, message: 'Unrecognized chain ID' }
    const run = async ({ page, click }) => {
      await click('Switch to Base')
      await page.getByText('Meadow does not know this network.').waitFor()
    }
    await afterChoosing(wallet, /^Meadow is on Polygon/, run, { gateway: { chains: ['eip155:8453'] } })
  })

  test('the browser is offline', async () => {
    const wallet = new EvmWallet()
    await opened([wallet], async ({ page, context, url, click }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).waitFor()
      await context.setOffline(true)
      await click('Meadow')
      await complaint(page, /^You are offline\./)
      await context.setOffline(false)
      await triesAgain({ page, click }, wallet)
    })
  })

  test('the gateway cannot be reached', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock }) => {
      mock.break('GET /.siwx/config')
      await page.goto(`${url}/me`)
      await complaint(page, /^localhost:\d+ cannot be reached\. Try again in a moment\./)
      mock.mend()
      await click('Try again')
      await click('Meadow')
      await goods(page)
    })
  })

  test('the gateway has trouble of its own', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock }) => {
      await page.goto(`${url}/me`)
      mock.fail('POST /.siwx/sessions', { status: 503, code: 'store_unavailable', message: 'sessions cannot be kept at the moment' })
      await click('Meadow')
      await complaint(page, /^This does not work at the moment: sessions cannot be kept at the moment\.$/)
    })
  })

  test('the browser keeps no cookie', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock, context }) => {
      await page.goto(`${url}/me`)
      mock.fail('POST /.siwx/sessions', { status: 201, code: '', message: '' })
      await click('Meadow')
      await complaint(page, /^The sign-in worked, but your browser did not keep its cookie\./)
      assert.deepEqual(await sessionCookies(context), [])
    })
  })

  test('a signature that comes after the person gave up is not sent', async () => {
    const wallet = new EvmWallet()
    let finish
    const asked = new Promise((resolve) => {
      wallet.behaves.personal_sign = (params) => {
        resolve()
        return new Promise((go) => (finish = () => go(wallet.personal_sign(params))))
      }
    })
    await opened([wallet, new SolanaWallet()], async ({ page, url, click, context, mock }) => {
      await page.goto(`${url}/me`)
      await click('Meadow')
      await asked
      await click('Cancel')
      await page.getByRole('heading', { name: 'Choose a wallet' }).waitFor()
      finish()
      // Account, chain and signature.
      await page.waitForFunction(() => window.walletAnswers === 3)
      assert.deepEqual(await sessionCookies(context), [])
      assert.ok(!mock?.asked.includes('POST /.siwx/sessions'), 'nothing was sent')
      assert.ok(await page.getByRole('heading', { name: 'Choose a wallet' }).isVisible())
    })
  })

  test('without scripts the page still says why', async () => {
    await opened(
      [],
      async ({ page, url }) => {
        await page.goto(`${url}/me`)
        await page.getByText('This page opens for wallets that sign in.').waitFor()
        assert.match(await page.locator('noscript').innerText(), /^Signing in needs JavaScript/)
      },
      { javaScriptEnabled: false },
    )
  })
})

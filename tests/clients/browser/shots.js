// Takes pictures of the login page into a folder, for people to look at:
//
//     node shots.js FOLDER

import { mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

import { launch, startGateway, visit } from './browser.js'
import { EvmWallet, REFUSES, SolanaWallet } from './wallets.js'

const folder = process.argv[2]
if (!folder) throw new Error('usage: node shots.js FOLDER')
mkdirSync(folder, { recursive: true })

const DESKTOP = { width: 1100, height: 820 }
const PHONE = { width: 375, height: 740 }
const never = () => new Promise(() => {})

// Each leads a page to where the picture is taken.
const SCENES = {
  choice: async ({ page, url }) => {
    await page.goto(`${url}/.siwx/login`)
    await page.getByRole('button', { name: 'Meadow' }).waitFor()
  },
  preview: async ({ page, url }) => {
    await SCENES.choice({ page, url })
    await page.getByText('What you will sign').click()
  },
  focus: async ({ page, url }) => {
    await SCENES.choice({ page, url })
    await page.keyboard.press('Tab')
  },
  signing: async ({ page, url, wallets }) => {
    wallets[0].behaves.personal_sign = never
    await SCENES.choice({ page, url })
    await page.getByRole('button', { name: 'Meadow' }).click()
    await page.locator('#text').waitFor()
  },
  refused: async ({ page, url, wallets }) => {
    wallets[0].behaves.personal_sign = REFUSES
    await SCENES.choice({ page, url })
    await page.getByRole('button', { name: 'Meadow' }).click()
    await page.getByText('You declined').waitFor()
  },
  'refused-page': async ({ page, url }) => {
    await page.goto(`${url}/me`)
    await page.getByRole('button', { name: 'Meadow' }).waitFor()
  },
  price: async ({ page, url }) => {
    await page.goto(`${url}/paid`)
    await page.getByRole('button', { name: 'Meadow' }).waitFor()
    await page.getByText('What x402 clients pay').click()
  },
  accounts: async ({ page, url, wallets, plan, subscribe }) => {
    await subscribe(wallets[0].account(), plan, '2030-12-21T00:00:00Z')
    for (const name of ['Meadow', 'Sundial']) {
      await page.goto(`${url}/.siwx/login?return=/.siwx/login`)
      const another = page.getByRole('button', { name: 'Use another wallet' })
      await another.or(page.getByRole('button', { name })).first().waitFor()
      if (await another.isVisible()) await another.click()
      await Promise.all([page.waitForNavigation(), page.getByRole('button', { name }).click()])
    }
    await page.getByRole('heading', { name: 'Your accounts' }).waitFor()
  },
  'no-subscription': async ({ page, url, wallets }) => {
    await page.goto(`${url}/.siwx/login?return=/plan`)
    await page.getByRole('button', { name: 'Meadow' }).click()
    await page.getByRole('heading', { name: 'Your accounts' }).waitFor()
  },
  nothing: async ({ page, url, context }) => {
    await context.addInitScript(() => (window.noWallets = true))
    await page.goto(`${url}/.siwx/login`)
    await page.getByRole('heading', { name: 'No wallet found' }).waitFor()
  },
  'no-script': async ({ page, url }) => {
    await page.goto(`${url}/me`)
  },
}

const browser = await launch()
for (const [look, viewport, colorScheme] of [
  ['light', DESKTOP, 'light'],
  ['dark', DESKTOP, 'dark'],
  ['phone', PHONE, 'light'],
  ['phone-dark', PHONE, 'dark'],
]) {
  for (const [name, lead] of Object.entries(SCENES)) {
    const gateway = await startGateway({})
    const wallets = name === 'nothing' ? [] : [new EvmWallet(), new EvmWallet({ name: 'Harbour Wallet', icon: null }), new SolanaWallet()]
    const javaScriptEnabled = name !== 'no-script'
    const visited = await visit(browser, wallets, { places: [gateway.url], viewport, colorScheme, javaScriptEnabled })
    await lead({ ...visited, ...gateway, wallets })
    await visited.page.screenshot({ path: path.join(folder, `${name}-${look}.png`) })
    if (visited.wrong.length > 0) console.log(name, look, visited.wrong)
    await visited.close()
    await gateway.close()
  }
}
await browser.close()

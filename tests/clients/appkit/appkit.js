// AppKit's controllers, as its modal drives them, with the modal and the analytics taken out: what would be shown is
// written down instead.

import {
  ChainController,
  ConnectionController,
  EventsController,
  ModalController,
  OptionsController,
  RouterController,
  SIWXUtil,
  SnackController,
} from '@reown/appkit-controllers'

/** What AppKit showed and did, in order. */
export const shown = []

ModalController.open = async ({ view }) => {
  shown.push(view)
  ModalController.state.open = true
  RouterController.state.view = view
}
ModalController.close = () => {
  ModalController.state.open = false
}
EventsController.sendEvent = ({ event }) => {
  if (/^SIWX/.test(event)) shown.push(event)
}
SnackController.showError = (text) => shown.push(text)
SnackController.showLoading = () => {}
SnackController.hide = () => {}

/** AppKit with this SIWX backend and these networks, and a wallet connected on the first. */
export function startAppKit(siwx, networks, wallet) {
  shown.length = 0
  ModalController.state.open = false
  const namespaces = new Set(networks.map(({ chainNamespace }) => chainNamespace))
  ChainController.state.chains.clear()
  ChainController.initialize(
    [...namespaces].map((namespace) => ({ namespace })),
    networks,
    {},
  )
  ChainController.setLastConnectedSIWECaipNetwork(undefined)
  ChainController.switchActiveNetwork = async (network) => {
    shown.push(`switched to ${network.name}`)
    connect(network, wallet)
  }
  OptionsController.state.siwx = siwx
  ConnectionController.setClient({
    signMessage: (message) => wallet.sign(message),
    disconnect: async () => {
      shown.push('disconnected')
      // What AppKit does itself, in its `disconnect`.
      if (siwx.signOutOnDisconnect ?? true) await SIWXUtil.clearSessions()
    },
  })
  connect(networks[0], wallet)
}

/** The wallet is on this network from now on, as an adapter tells AppKit. */
export function connect(network, { address }) {
  ChainController.state.activeChain = network.chainNamespace
  ChainController.state.activeCaipNetwork = network
  ChainController.state.activeCaipAddress = `${network.caipNetworkId}:${address}`
}

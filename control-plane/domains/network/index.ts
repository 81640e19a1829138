export { networkBindings } from './routes.ts'
export { createNetworkService, type NetworkService } from './service.ts'
export { bindPort, deletePort, insertPort, portsOfSet, unbindPort } from './store.ts'
export { networkView, portView, subnetView } from './views.ts'

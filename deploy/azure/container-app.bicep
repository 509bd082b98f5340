// The relay in Azure Container Apps: certificate from Key Vault, lookup table, and a queue if it is wanted, by
// a managed identity that has a right on these and on nothing else. container-app.json is the same as an ARM
// template, for the portal: change both together, as a test compares them.
//
// NOT COMPILED AND NOT RUN where it was written: no Bicep compiler and no subscription could be had
// there. A test (tests/deploy/azure_test.ts) reads this file and the other, and holds settings, ports and
// times against the program. Look at `az deployment group what-if` first. See README.md.

@description('Where everything is made.')
param location string = resourceGroup().location

@description('The beginning of all names.')
@minLength(3)
@maxLength(16)
param name string = 'smtp-relay'

@description('The name that devices know the relay by.')
param hostname string

@description('The image.')
param image string = 'ghcr.io/repo_owner/smtp-oauth-relay:0.1.0'

@description('The container registry of Azure that holds the image, in this resource group: the identity gets AcrPull for it. Empty for a public image.')
param registryName string = ''

@description('A subnet delegated to Microsoft.App/environments, /27 or larger. Empty: a virtual network of its own is made. TCP needs one.')
param subnetId string = ''

@description('The range of addresses of a virtual network that is made.')
param networkPrefix string = '10.80.0.0/24'

@description('An address of the virtual network. If it is false, an address of the internet.')
param internal bool = true

@description('The networks of the devices: nobody else may connect. Without any, Azure would let everybody in.')
@minLength(1)
param allowedNetworks array = [
  '10.0.0.0/8'
  '172.16.0.0/12'
  '192.168.0.0/16'
]

@description('The key vault that holds the certificate, in this resource group, with roles (RBAC) in place of access policies. Empty: one is made.')
param vaultName string = ''

@description('For a vault that is made: key, certificate and chain in PEM form.')
@secure()
param certificatePem string = ''

@description('The name of the certificate in the vault. Its key must be exportable.')
@minLength(1)
param certificateName string = 'smtp-relay'

@description('Messages are kept in a queue in the storage account until they are sent.')
param queue bool = false

@description('Seals the queue: 32 octets in base64. Keep a copy: without it, nobody can read what is queued.')
@secure()
param queueKey string = ''

@description('Asked for by all pages but those of the probes. No page can be reached from outside of the app.')
@secure()
@minLength(16)
param httpPassword string = newGuid()

// Azure's own roles, by their ids.
var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
var storageTableDataReader = '76199698-9eea-4c19-bc75-cec21354c6b6'
var storageBlobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var storageQueueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

var tableName = 'users'
var smtpPort = 8025
var smtpsPort = 8465
var httpPort = 8026
var usedVault = empty(vaultName) ? take('relay-${uniqueString(resourceGroup().id, name)}', 24) : vaultName
var storageName = take('relay${uniqueString(resourceGroup().id, name)}', 24)
var tableUrl = 'https://${storageName}.table.${environment().suffixes.storage}/${tableName}'
var queueUrl = 'https://${storageName}.queue.${environment().suffixes.storage}'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

// --- what the identity may reach ---

resource newVault 'Microsoft.KeyVault/vaults@2023-07-01' = if (empty(vaultName)) {
  name: usedVault
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
  }
}

resource newCertificate 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = if (empty(vaultName)) {
  parent: newVault
  name: certificateName
  properties: {
    contentType: 'application/x-pem-file'
    value: certificatePem
  }
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: usedVault

  // The certificate with its key is the secret of the same name: the right is for this one alone.
  resource certificate 'secrets' existing = {
    name: certificateName
  }
}

resource readsCertificate 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::certificate.id, identity.id, keyVaultSecretsUser)
  scope: vault::certificate
  dependsOn: [
    newCertificate
  ]
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
  }
}

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: storageName
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_ZRS'
  }
  properties: {
    // Identities only: there is no key that could get lost.
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource tables 'tableServices' = {
    name: 'default'

    resource users 'tables' = {
      name: tableName
    }
  }
}

// Reading is enough for the relay; who edits entries with `lookup` needs a role of his own.
resource readsTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, identity.id, storageTableDataReader)
  scope: storage::tables::users
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageTableDataReader)
  }
}

// The relay makes its container and its queue itself, so that the rights are on the account.
resource writesBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (queue) {
  name: guid(storage.id, identity.id, storageBlobDataContributor)
  scope: storage
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataContributor)
  }
}

resource writesQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (queue) {
  name: guid(storage.id, identity.id, storageQueueDataContributor)
  scope: storage
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageQueueDataContributor)
  }
}

// Without a registry, nothing is read under this name.
resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: empty(registryName) ? 'none' : registryName
}

resource pullsImage 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(registryName)) {
  name: guid(registry.id, identity.id, acrPull)
  scope: registry
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
  }
}

// --- the relay ---

resource network 'Microsoft.Network/virtualNetworks@2024-10-01' = if (empty(subnetId)) {
  name: name
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: [
        networkPrefix
      ]
    }
    subnets: [
      {
        name: 'relay'
        properties: {
          addressPrefix: networkPrefix
          delegations: [
            {
              name: 'environments'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
    ]
  }
}

resource apps 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: name
  location: location
  dependsOn: [
    network
  ]
  properties: {
    vnetConfiguration: {
      infrastructureSubnetId: empty(subnetId) ? resourceId('Microsoft.Network/virtualNetworks/subnets', name, 'relay') : subnetId
      internal: internal
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource relay 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  // A start without these rights would end with status 69, and be repeated until they are there.
  dependsOn: [
    readsCertificate
    readsTable
    writesBlobs
    writesQueue
    pullsImage
  ]
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: apps.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: empty(registryName) ? [] : [
        {
          server: '${registryName}${environment().suffixes.acrLoginServer}'
          identity: identity.id
        }
      ]
      secrets: concat([
        { name: 'http-password', value: httpPassword }
      ], queue ? [
        { name: 'queue-key', value: queueKey }
      ] : [])
      ingress: {
        // From the virtual network, not only from other apps of the environment.
        external: true
        transport: 'tcp'
        targetPort: smtpPort
        exposedPort: 587
        additionalPortMappings: [
          {
            external: true
            targetPort: smtpPort
            exposedPort: 25
          }
          {
            external: true
            targetPort: smtpsPort
            exposedPort: 465
          }
        ]
        ipSecurityRestrictions: [
          for (devices, index) in allowedNetworks: {
            name: 'devices-${index}'
            action: 'Allow'
            ipAddressRange: devices
          }
        ]
      }
    }
    template: {
      // More than SHUTDOWN_TIMEOUT, 90 s, and three more. Raise both together.
      terminationGracePeriodSeconds: 100
      containers: [
        {
          name: 'relay'
          image: image
          resources: {
            // MAX_MEMORY becomes half of the memory, 256 MiB at most.
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          env: concat([
            { name: 'LOG_LEVEL', value: 'INFO' }
            { name: 'LOG_FORMAT', value: 'json' }
            { name: 'SERVER_HOSTNAME', value: hostname }
            { name: 'SMTPS_LISTEN', value: ':${smtpsPort}' }
            { name: 'HTTP_LISTEN', value: ':${httpPort}' }
            { name: 'HTTP_PASSWORD', secretRef: 'http-password' }
            { name: 'TLS_SOURCE', value: 'keyvault' }
            { name: 'AZURE_KEY_VAULT_URL', value: 'https://${usedVault}${environment().suffixes.keyvaultDns}' }
            { name: 'AZURE_KEY_VAULT_CERT_NAME', value: certificateName }
            { name: 'AZURE_TABLES_URL', value: tableUrl }
            // No other kind of identity is looked for.
            { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
            // Of the four requests that Graph takes at once for a mailbox: two for each instance.
            { name: 'GRAPH_CONCURRENCY', value: '2' }
            // All clients have the address of the ingress here: no limit by address.
            { name: 'MAX_CONNECTIONS_PER_IP', value: '1000' }
            // Which of the machine's identities.
            { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
          ], queue ? [
            { name: 'DELIVERY_MODE', value: 'queue' }
            { name: 'QUEUE_URL', value: 'azure-storage:${queueUrl}' }
            { name: 'QUEUE_KEY', secretRef: 'queue-key' }
          ] : [])
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: httpPort }
              // 10 are the most that the interface documents.
              periodSeconds: 6
              failureThreshold: 10
            }
            {
              type: 'Readiness'
              httpGet: { path: '/readyz', port: httpPort }
              periodSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Liveness'
              httpGet: { path: '/healthz', port: httpPort }
              periodSeconds: 20
              timeoutSeconds: 5
              failureThreshold: 3
            }
          ]
        }
      ]
      scale: {
        // Limits are per instance.
        minReplicas: 2
        maxReplicas: 2
      }
    }
  }
}

@description('Where devices send to: let the name that devices know have this address.')
output address string = apps.properties.staticIp

@description('For AZURE_TABLES_URL of `smtp-oauth-relay lookup`.')
output table string = tableUrl

@description('Who the relay is for Azure: for roles, and for apps that trust this identity.')
output identityClientId string = identity.properties.clientId

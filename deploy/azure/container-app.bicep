// The relay in Azure Container Apps: certificate from Key Vault, lookup table, both by a managed
// identity that has a right on these two and on nothing else.
//
// NOT COMPILED AND NOT RUN where it was written: no Bicep compiler and no subscription could be had
// there. Names and values of settings, ports and times are held against the program by a test
// (tests/deploy/azure_test.ts). Look at `az deployment group what-if` first. See README.md.

@description('Where everything is made.')
param location string = resourceGroup().location

@description('The beginning of all names.')
@minLength(3)
@maxLength(16)
param name string = 'smtp-relay'

@description('The image, such as example.azurecr.io/smtp-oauth-relay:0.1.0.')
param image string

@description('The container registry that holds the image, in this resource group; the identity gets AcrPull for it.')
param registryName string

@description('A subnet delegated to Microsoft.App/environments, /27 or larger. TCP needs a network of your own.')
param subnetId string

@description('The key vault that holds the certificate, in this resource group, with roles (RBAC) in place of access policies.')
param vaultName string

@description('The name of the certificate in the vault. Its key must be exportable.')
param certificateName string = 'smtp-relay'

@description('The name that devices know the relay by.')
param hostname string

@description('The networks of the devices: nobody else may connect.')
param allowedNetworks array = [
  '10.0.0.0/8'
  '172.16.0.0/12'
  '192.168.0.0/16'
]

@description('Asked for by all pages but those of the probes. Any long random text.')
@secure()
@minLength(16)
param httpPassword string

// Azure's own roles, by their ids.
var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
var storageTableDataReader = '76199698-9eea-4c19-bc75-cec21354c6b6'
var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

var tableName = 'users'
var smtpPort = 8025
var smtpsPort = 8465
var httpPort = 8026

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

// --- what the identity may reach ---

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName

  // The certificate with its key is the secret of the same name: the right is for this one alone.
  resource certificate 'secrets' existing = {
    name: certificateName
  }
}

resource readsCertificate 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::certificate.id, identity.id, keyVaultSecretsUser)
  scope: vault::certificate
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
  }
}

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: take('relay${uniqueString(resourceGroup().id, name)}', 24)
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

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource pullsImage 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, acrPull)
  scope: registry
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
  }
}

// --- the relay ---

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: name
  location: location
  properties: {
    vnetConfiguration: {
      infrastructureSubnetId: subnetId
      // An address of the virtual network, not of the internet.
      internal: true
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
    pullsImage
  ]
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [
        {
          server: registry.properties.loginServer
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'http-password'
          value: httpPassword
        }
      ]
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
          for (network, index) in allowedNetworks: {
            name: 'devices-${index}'
            action: 'Allow'
            ipAddressRange: network
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
          env: [
            { name: 'LOG_LEVEL', value: 'INFO' }
            { name: 'LOG_FORMAT', value: 'json' }
            { name: 'SERVER_HOSTNAME', value: hostname }
            { name: 'SMTPS_LISTEN', value: ':${smtpsPort}' }
            { name: 'HTTP_LISTEN', value: ':${httpPort}' }
            { name: 'HTTP_PASSWORD', secretRef: 'http-password' }
            { name: 'TLS_SOURCE', value: 'keyvault' }
            { name: 'AZURE_KEY_VAULT_URL', value: vault.properties.vaultUri }
            { name: 'AZURE_KEY_VAULT_CERT_NAME', value: certificateName }
            { name: 'AZURE_TABLES_URL', value: '${storage.properties.primaryEndpoints.table}${tableName}' }
            // Which of the machine's identities, and that no other kind is looked for.
            { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
            { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
            // Of the four requests that Graph takes at once for a mailbox: two for each instance.
            { name: 'GRAPH_CONCURRENCY', value: '2' }
            // All clients have the address of the ingress here: no limit by address.
            { name: 'MAX_CONNECTIONS_PER_IP', value: '1000' }
          ]
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: httpPort }
              periodSeconds: 2
              failureThreshold: 30
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

@description('Where devices send to; put a name of your own in front of it.')
output address string = environment.properties.staticIp

@description('For AZURE_TABLES_URL of `smtp-oauth-relay lookup`.')
output table string = '${storage.properties.primaryEndpoints.table}${tableName}'

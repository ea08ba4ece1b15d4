package otlp

// key numbers the attribute names that the mapping looks at; 0 is every other
// name. Numbers make a span's attributes addressable without a map.
type key uint8

const (
	keyOther key = iota

	// http (all of these are looked at for the http block)
	keyHTTPMethod
	keyHTTPRequestMethod
	keyHTTPClientIP
	keyHTTPUserAgent
	keyUserAgentOriginal
	keyHTTPStatusCode
	keyHTTPResponseStatusCode
	keyHTTPURL
	keyURLFull
	keyHTTPScheme
	keyURLScheme
	keyHTTPHost
	keyHTTPTarget
	keyURLQuery
	keyHTTPServerName
	keyNetHostPort
	keyHostName
	keyNetHostName
	keyNetPeerName
	keyNetPeerPort
	keyNetPeerIP
	keyNetworkPeerAddress
	keyClientAddress
	keyURLPath
	keyServerAddress
	keyServerPort

	// aws
	keyAWSOperation
	keyAWSAccountID
	keyAWSRegion
	keyAWSRequestID
	keyAWSRequestID2
	keyAWSQueueURL
	keyAWSQueueURL2
	keyAWSTableName
	keyAWSTableName2
	keyRPCMethod

	// sql
	keyDBConnectionString
	keyDBSystem
	keyDBName
	keyDBStatement
	keyDBUser

	// other
	keyHTTPStatusText
	keyPeerService
	keyAWSService
	keyRPCSystem
	keyRPCService
	keyMessagingURL
	keyAWSDynamoDBTableNames
	keyEnduserID
	keyAWSXRayAnnotations
	keyAWSLocalService
	keyAWSRemoteService
	keyAWSRemoteOperation
	keyRemoteTarget
	keyK8sRemoteNamespace
	keyAWSSpanKind
	keyMessageType
	keyMessagingMessagePayloadSizeBytes

	// native
	keyDBSystemName
	keyDBNamespace
	keyDBQueryText
	keyMessagingDestinationName
	keyMessagingDestination
	keyRPCSystemName
	keyUserID
	keyAWSS3Bucket
	keyAWSSNSTopicARN
	keySQSQueueURL
	keyAWSRequestID3
	keyAWSExtendedRequestID
	keyCloudRegion
	keyAWSLambdaFunctionName
	keyFaasInvokedName
	keyAWSXRaySamplingRule
	keyAWSXRayInProgress
	keyHTTPResponseBodySize
	keyHTTPResponseContentLength
	keyDBCassandraKeyspace
	keyDBElasticsearchCluster
	keyMessagingSystem
	keyMessagingDestinationTemplate
	keyMessagingDestinationTemporary
	keyMessagingDestinationAnonymous
	keyMessagingTempDestination
	keyMessagingRabbitMQKey
	keyMessagingRabbitMQRoutingKey
	keyGenAIProviderName
	keyGenAISystem
	keyNetSockPeerName
	keyNetSockPeerAddr
	keyServerSocketDomain
	keyServerSocketAddress

	// resource
	keyServiceName
	keyServiceVersion
	keyContainerImageTag
	keyCloudProvider
	keyCloudPlatform
	keyCloudAccountID
	keyCloudAvailabilityZone
	keyHostID
	keyHostType
	keyHostImageID
	keyContainerName
	keyContainerID
	keyK8sPodName
	keyK8sClusterName
	keyServiceNamespace
	keyServiceInstanceID
	keyTelemetrySDKName
	keyTelemetrySDKLanguage
	keyTelemetrySDKVersion
	keyTelemetryAutoVersion
	keyTelemetryDistroVersion
	keyAWSECSClusterARN
	keyAWSECSContainerARN
	keyAWSECSTaskARN
	keyAWSECSTaskFamily
	keyAWSECSLaunchtype
	keyAWSLogGroupNames
	keyAWSLogGroupARNs
	keyAWSXRayResourceARN
	keyCloudResourceID

	// event
	keyExceptionType
	keyExceptionMessage
	keyExceptionStacktrace
	keyAWSHTTPErrorMessage

	keyCount
)

// The keys up to these are those of the http, aws and sql blocks.
const (
	lastHTTPKey = keyServerPort
	lastAWSKey  = keyRPCMethod
	lastSQLKey  = keyDBUser
)

// keyOf is the number of an attribute name.
func keyOf(name string) key {
	switch name {
	case "http.method":
		return keyHTTPMethod
	case "http.request.method":
		return keyHTTPRequestMethod
	case "http.client_ip":
		return keyHTTPClientIP
	case "http.user_agent":
		return keyHTTPUserAgent
	case "user_agent.original":
		return keyUserAgentOriginal
	case "http.status_code":
		return keyHTTPStatusCode
	case "http.response.status_code":
		return keyHTTPResponseStatusCode
	case "http.url":
		return keyHTTPURL
	case "url.full":
		return keyURLFull
	case "http.scheme":
		return keyHTTPScheme
	case "url.scheme":
		return keyURLScheme
	case "http.host":
		return keyHTTPHost
	case "http.target":
		return keyHTTPTarget
	case "url.query":
		return keyURLQuery
	case "http.server_name":
		return keyHTTPServerName
	case "net.host.port":
		return keyNetHostPort
	case "host.name":
		return keyHostName
	case "net.host.name":
		return keyNetHostName
	case "net.peer.name":
		return keyNetPeerName
	case "net.peer.port":
		return keyNetPeerPort
	case "net.peer.ip":
		return keyNetPeerIP
	case "network.peer.address":
		return keyNetworkPeerAddress
	case "client.address":
		return keyClientAddress
	case "url.path":
		return keyURLPath
	case "server.address":
		return keyServerAddress
	case "server.port":
		return keyServerPort
	case "aws.operation":
		return keyAWSOperation
	case "aws.account_id":
		return keyAWSAccountID
	case "aws.region":
		return keyAWSRegion
	case "aws.request_id":
		return keyAWSRequestID
	case "aws.requestId":
		return keyAWSRequestID2
	case "aws.queue_url":
		return keyAWSQueueURL
	case "aws.queue.url":
		return keyAWSQueueURL2
	case "aws.table_name":
		return keyAWSTableName
	case "aws.table.name":
		return keyAWSTableName2
	case "rpc.method":
		return keyRPCMethod
	case "db.connection_string":
		return keyDBConnectionString
	case "db.system":
		return keyDBSystem
	case "db.name":
		return keyDBName
	case "db.statement":
		return keyDBStatement
	case "db.user":
		return keyDBUser
	case "http.status_text":
		return keyHTTPStatusText
	case "peer.service":
		return keyPeerService
	case "aws.service":
		return keyAWSService
	case "rpc.system":
		return keyRPCSystem
	case "rpc.service":
		return keyRPCService
	case "messaging.url":
		return keyMessagingURL
	case "aws.dynamodb.table_names":
		return keyAWSDynamoDBTableNames
	case "enduser.id":
		return keyEnduserID
	case "aws.xray.annotations":
		return keyAWSXRayAnnotations
	case "aws.local.service":
		return keyAWSLocalService
	case "aws.remote.service":
		return keyAWSRemoteService
	case "aws.remote.operation":
		return keyAWSRemoteOperation
	case "remoteTarget":
		return keyRemoteTarget
	case "K8s.RemoteNamespace":
		return keyK8sRemoteNamespace
	case "aws.span.kind":
		return keyAWSSpanKind
	case "message.type":
		return keyMessageType
	case "messaging.message_payload_size_bytes":
		return keyMessagingMessagePayloadSizeBytes
	case "db.system.name":
		return keyDBSystemName
	case "db.namespace":
		return keyDBNamespace
	case "db.query.text":
		return keyDBQueryText
	case "messaging.destination.name":
		return keyMessagingDestinationName
	case "messaging.destination":
		return keyMessagingDestination
	case "rpc.system.name":
		return keyRPCSystemName
	case "user.id":
		return keyUserID
	case "aws.s3.bucket":
		return keyAWSS3Bucket
	case "aws.sns.topic.arn":
		return keyAWSSNSTopicARN
	case "aws.sqs.queue.url":
		return keySQSQueueURL
	case "aws.extended_request_id":
		return keyAWSExtendedRequestID
	case "aws.request.id":
		return keyAWSRequestID3
	case "cloud.region":
		return keyCloudRegion
	case "aws.lambda.function.name":
		return keyAWSLambdaFunctionName
	case "faas.invoked_name":
		return keyFaasInvokedName
	case "aws.xray.sampling_rule":
		return keyAWSXRaySamplingRule
	case "aws.xray.inprogress":
		return keyAWSXRayInProgress
	case "http.response.body.size":
		return keyHTTPResponseBodySize
	case "http.response_content_length":
		return keyHTTPResponseContentLength
	case "db.cassandra.keyspace":
		return keyDBCassandraKeyspace
	case "db.elasticsearch.cluster.name":
		return keyDBElasticsearchCluster
	case "messaging.system":
		return keyMessagingSystem
	case "messaging.destination.template":
		return keyMessagingDestinationTemplate
	case "messaging.destination.temporary":
		return keyMessagingDestinationTemporary
	case "messaging.destination.anonymous":
		return keyMessagingDestinationAnonymous
	case "messaging.temp_destination":
		return keyMessagingTempDestination
	case "messaging.rabbitmq.routing_key":
		return keyMessagingRabbitMQKey
	case "messaging.rabbitmq.destination.routing_key":
		return keyMessagingRabbitMQRoutingKey
	case "gen_ai.provider.name":
		return keyGenAIProviderName
	case "gen_ai.system":
		return keyGenAISystem
	case "net.sock.peer.name":
		return keyNetSockPeerName
	case "net.sock.peer.addr":
		return keyNetSockPeerAddr
	case "server.socket.domain":
		return keyServerSocketDomain
	case "server.socket.address":
		return keyServerSocketAddress
	case "service.name":
		return keyServiceName
	case "service.version":
		return keyServiceVersion
	case "container.image.tag":
		return keyContainerImageTag
	case "cloud.provider":
		return keyCloudProvider
	case "cloud.platform":
		return keyCloudPlatform
	case "cloud.account.id":
		return keyCloudAccountID
	case "cloud.availability_zone":
		return keyCloudAvailabilityZone
	case "host.id":
		return keyHostID
	case "host.type":
		return keyHostType
	case "host.image.id":
		return keyHostImageID
	case "container.name":
		return keyContainerName
	case "container.id":
		return keyContainerID
	case "k8s.pod.name":
		return keyK8sPodName
	case "k8s.cluster.name":
		return keyK8sClusterName
	case "service.namespace":
		return keyServiceNamespace
	case "service.instance.id":
		return keyServiceInstanceID
	case "telemetry.sdk.name":
		return keyTelemetrySDKName
	case "telemetry.sdk.language":
		return keyTelemetrySDKLanguage
	case "telemetry.sdk.version":
		return keyTelemetrySDKVersion
	case "telemetry.auto.version":
		return keyTelemetryAutoVersion
	case "telemetry.distro.version":
		return keyTelemetryDistroVersion
	case "aws.ecs.cluster.arn":
		return keyAWSECSClusterARN
	case "aws.ecs.container.arn":
		return keyAWSECSContainerARN
	case "aws.ecs.task.arn":
		return keyAWSECSTaskARN
	case "aws.ecs.task.family":
		return keyAWSECSTaskFamily
	case "aws.ecs.launchtype":
		return keyAWSECSLaunchtype
	case "aws.log.group.names":
		return keyAWSLogGroupNames
	case "aws.log.group.arns":
		return keyAWSLogGroupARNs
	case "aws.xray.resource_arn":
		return keyAWSXRayResourceARN
	case "cloud.resource_id":
		return keyCloudResourceID
	case "exception.type":
		return keyExceptionType
	case "exception.message":
		return keyExceptionMessage
	case "exception.stacktrace":
		return keyExceptionStacktrace
	case "aws.http.error_message":
		return keyAWSHTTPErrorMessage
	}
	return keyOther
}

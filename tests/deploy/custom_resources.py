"""Closed JSON schemas of the two custom resources, written for what these manifests use.

The CRDs of prometheus-operator and KEDA come from neither Debian nor PyPI, so these hold the shape and
know no other field: a new one is added here by hand, from the operator's documentation.
"""


def _object(required, **optional):
    return {"type": "object", "additionalProperties": False,
            "properties": {**required, **optional}, "required": sorted(required)}


def _list(items):
    return {"type": "array", "items": items, "minItems": 1}


STRING = {"type": "string", "minLength": 1}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 1}
SECONDS = {"type": "integer", "minimum": 0, "maximum": 3600}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
METADATA = _object({"name": STRING}, namespace=STRING, labels=STRINGS, annotations=STRINGS)

_EXPRESSION = _object(
    {"key": STRING, "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}},
    values=_list(STRING))
_SELECTOR = _object({}, matchLabels=STRINGS, matchExpressions=_list(_EXPRESSION))

_SCALING_RULES = _object(
    {"policies": _list(_object({"type": {"enum": ["Pods", "Percent"]}, "value": COUNT,
                                "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800}}))},
    stabilizationWindowSeconds=SECONDS, selectPolicy={"enum": ["Max", "Min", "Disabled"]})

_PROMETHEUS_TRIGGER = _object(
    {"type": {"const": "prometheus"}, "metricType": {"enum": ["AverageValue", "Value"]},
     # KEDA takes strings only; a YAML number or boolean is refused by its CRD.
     "metadata": _object({
         "serverAddress": {"type": "string", "pattern": "^https?://"}, "query": STRING,
         "threshold": {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
         "ignoreNullValues": {"enum": ["true", "false"]}})})

SCHEMAS = {
    "ServiceMonitor": _object({
        "apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": "ServiceMonitor"},
        "metadata": METADATA,
        "spec": _object({
            "selector": _SELECTOR,
            "endpoints": _list(_object({"port": STRING, "path": STRING}, interval=DURATION,
                                       scrapeTimeout=DURATION))})}),
    "ScaledObject": _object({
        "apiVersion": {"const": "keda.sh/v1alpha1"}, "kind": {"const": "ScaledObject"},
        "metadata": METADATA,
        "spec": _object({
            "scaleTargetRef": _object({"name": STRING}),
            "minReplicaCount": COUNT, "maxReplicaCount": COUNT,
            "triggers": _list(_PROMETHEUS_TRIGGER)},
            pollingInterval=COUNT,
            fallback=_object({"failureThreshold": COUNT, "replicas": COUNT}),
            advanced=_object({"horizontalPodAutoscalerConfig": _object({
                "behavior": _object({}, scaleUp=_SCALING_RULES, scaleDown=_SCALING_RULES)})}))}),
}

#!/usr/bin/env python3
"""helm, releases 3 and 4, on a chart with hooks, a custom resource definition and an object of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main  # noqa: E402
from lib.cluster import ClusterTest  # noqa: E402

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: {version}\nappVersion: '1'\n",
    "values.yaml": "replicas: 2\ncolor: red\n",
    "crds/lamps.yaml": """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: lamps, singular: lamp, kind: Lamp}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {color: {type: string}}}}}}
""",
    "templates/lamp.yaml": "apiVersion: GROUP/v1\nkind: Lamp\nmetadata: {name: lamp}\nspec: {color: {{ .Values.color }}}\n",
    "templates/deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-web, labels: {helm.sh/chart: shop}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "app:{{ .Chart.AppVersion }}", ports: [{containerPort: 80}]}]}
""",
    "templates/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
    "templates/access.yaml": """apiVersion: v1
kind: ServiceAccount
metadata: {name: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: shop}
subjects: [{kind: ServiceAccount, name: shop}]
""",
    "templates/hook.yaml": """apiVersion: v1
kind: ConfigMap
metadata:
  name: hook-{{ .Release.Revision }}
  annotations: {helm.sh/hook: "pre-install,pre-upgrade,pre-rollback", helm.sh/hook-weight: "-5"}
data: {revision: "{{ .Release.Revision }}"}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: brief
  annotations: {helm.sh/hook: "post-install,post-upgrade", helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: farewell, annotations: {helm.sh/hook: post-delete}}
""",
    "templates/NOTES.txt": "Thank you for {{ .Chart.Name }}.\n",
}


class Helm(ClusterTest):
    def chart(self, version="1.0.0"):
        folder = self.folder / f"shop-{version}"
        for name, text in CHART.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.replace("GROUP", f"{self.ns}.example.com").replace("{version}", version))
        return folder

    def helm(self, *words, check=True):
        done = subprocess.run([str(self.tool), "--namespace", self.ns, *map(str, words)], text=True, capture_output=True, timeout=120,
                              stdin=subprocess.DEVNULL, env={**self.environment, "HELM_CACHE_HOME": str(self.folder / "cache"),
                                                             "HELM_CONFIG_HOME": str(self.folder / "config"), "HELM_DATA_HOME": str(self.folder / "data")})
        if check:
            self.assertEqual(0, done.returncode, f"helm {' '.join(map(str, words))}: {done.stderr}{done.stdout}")
        return done.stdout if check else done

    def whole_life(self):
        self.addCleanup(self.run_kubectl, "delete", "crd", f"lamps.{self.ns}.example.com", "--wait=false", ns=None)
        self.assertIn("STATUS: deployed", said := self.helm("install", "shop", self.chart()))
        self.assertIn("Thank you for shop.", said)
        self.assertEqual("red", self.field(".spec.color", f"lamps.{self.ns}.example.com", "lamp"))
        self.assertEqual("helm.sh/release.v1", self.field(".type", "secret", "sh.helm.release.v1.shop.v1"))
        self.assertEqual("1", self.field(".data.revision", "configmap", "hook-1"))
        self.assertIn("NotFound", self.refused("get", "configmap", "brief"))
        self.assertEqual(["shop"], [release["name"] for release in json.loads(self.helm("list", "-o", "json"))])

        self.kubectl("scale", "deploy/shop-web", "--replicas=9")
        self.assertIn("has been upgraded", self.helm("upgrade", "shop", self.chart("1.1.0"), "--set", "replicas=5,color=blue", *self.forced))
        self.assertEqual(("5", "blue"), (self.field(".spec.replicas", "deploy", "shop-web"), self.field(".spec.color", f"lamps.{self.ns}.example.com", "lamp")))
        self.assertIn("replicas: 5", self.helm("get", "values", "shop"))
        self.assertIn("kind: Deployment", self.helm("get", "manifest", "shop"))

        self.assertIn("Rollback was a success", self.helm("rollback", "shop", "1", *self.forced))
        self.assertEqual(("2", "red"), (self.field(".spec.replicas", "deploy", "shop-web"), self.field(".spec.color", f"lamps.{self.ns}.example.com", "lamp")))
        history = json.loads(self.helm("history", "shop", "-o", "json"))
        self.assertEqual([(1, "superseded"), (2, "superseded"), (3, "deployed")], [(entry["revision"], entry["status"]) for entry in history])

        self.helm("uninstall", "shop")
        self.assertIn("NotFound", self.refused("get", "deploy", "shop-web"))
        self.assertIn("NotFound", self.refused("get", "service", "web"))
        self.assertEqual("configmap/farewell\n", self.kubectl("get", "configmap", "farewell", "-o", "name"))
        self.assertEqual([], json.loads(self.helm("list", *self.all_states, "-o", "json")))
        self.kubectl("get", "crd", f"lamps.{self.ns}.example.com", ns=None)


class Helm3(Helm):
    forced, all_states = (), ("--all",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tool = packages.helm3()

    def test_install_upgrade_rollback_uninstall(self):
        self.whole_life()

    def test_dry_run_asks_the_server(self):
        self.kubectl("create", "-f", self.chart() / "crds")
        self.addCleanup(self.run_kubectl, "delete", "crd", f"lamps.{self.ns}.example.com", "--wait=false", ns=None)
        self.assertIn("kind: Lamp", self.helm("install", "shop", self.chart(), "--dry-run=server"))
        self.assertIn("NotFound", self.refused("get", "deploy", "shop-web"))

    def test_a_failed_upgrade_is_rolled_back(self):
        self.addCleanup(self.run_kubectl, "delete", "crd", f"lamps.{self.ns}.example.com", "--wait=false", ns=None)
        self.helm("install", "shop", self.chart())
        done = self.helm("upgrade", "shop", self.chart(), "--set", "replicas=-1", check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("spec.replicas: Invalid value: -1: must be greater than or equal to 0", done.stderr)
        self.assertEqual("2", self.field(".spec.replicas", "deploy", "shop-web"))

    def test_what_another_owns_is_not_taken(self):
        self.kubectl("create", "service", "clusterip", "web", "--tcp=80")
        done = self.helm("install", "shop", self.chart(), check=False)
        self.addCleanup(self.run_kubectl, "delete", "crd", f"lamps.{self.ns}.example.com", "--wait=false", ns=None)
        self.assertIn("invalid ownership metadata", done.stderr)


class Helm4(Helm):
    """Applies on the server's side, so what others changed has to be taken back by force."""

    forced, all_states = ("--force-conflicts",), ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tool = packages.helm4()

    def test_install_upgrade_rollback_uninstall(self):
        self.whole_life()


if __name__ == "__main__":
    packages.need(packages.kubectl, packages.helm3, packages.helm4)
    main()

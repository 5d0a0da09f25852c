"""Airflow DAG: looks each week for a new crawl and curates it.

Copy it into the DAG folder of Airflow 2.8 or later with the provider cncf-kubernetes, and set the two Variables below.
Retries are safe: finished units are not repeated, and a lock prevents two runs on one crawl.
"""

from __future__ import annotations

import datetime

from airflow import DAG
from airflow.models import Variable
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

IMAGE = Variable.get("gristmill_driver_image", default_var="REGISTRY/gristmill-driver:TAG")
OUTPUT = Variable.get("gristmill_output", default_var="s3://BUCKET/gristmill")
CURATE = ["curate", "--snapshot", "newest", "--output", OUTPUT, "--workers", "16"]

with DAG(
    dag_id="gristmill_monthly",
    schedule="17 3 * * 1",
    start_date=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_delay": datetime.timedelta(minutes=15)},
) as dag:
    KubernetesPodOperator(task_id="curate", name="gristmill-curate", image=IMAGE, arguments=CURATE)

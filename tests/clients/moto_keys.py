"""Makes a user, a role and their rights in the AWS that moto stands in for, then
has moto check every signature, unless it is to be trusting. Prints the keys as JSON.

The place is AWS_ENDPOINT_URL; moto asks for no rights until this is done.
"""

import json
import os
import sys
import urllib.request

import boto3

ALL = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}]})
ANYBODY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})

iam = boto3.client("iam", aws_access_key_id="any", aws_secret_access_key="any")
keys = {}
for name, rights in [("owner", ALL), ("stranger", None)]:
    iam.create_user(UserName=name)
    if rights:
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=rights)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys[name] = {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=ANYBODY)["Role"]
iam.put_role_policy(RoleName="deploy", PolicyName="rights", PolicyDocument=ALL)
keys["role"] = role["Arn"]
if "--trusting" not in sys.argv:
    urllib.request.urlopen(urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}))
print("KEYS " + json.dumps(keys))

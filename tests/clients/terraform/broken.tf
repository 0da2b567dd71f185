# Archives that take their time, and resources whose first invocation does, at the
# endpoint of the environment.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {}

variable "delay" {
  type = number
}

variable "scripted" {
  type    = number
  default = 0
}

resource "aws_cloudcontrolapi_resource" "archive" {
  type_name = "Formwork::Examples::Archive"
  desired_state = jsonencode({
    Files = [{ Name = "a.txt", Contents = "one" }, { Name = "b.txt", Contents = "two" }]
    Delay = var.delay
  })
}

resource "aws_cloudcontrolapi_resource" "scripted" {
  count     = var.scripted
  type_name = "Formwork::Tests::Scripted"
  desired_state = jsonencode({
    Name   = "scripted-${count.index}"
    Script = ["sleep:3000 & in-progress:1", "success"]
  })
}

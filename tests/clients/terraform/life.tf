# A file and an archive, at an endpoint that is named, and the file read back.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region                      = "eu-west-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    cloudcontrol   = var.endpoint
    cloudformation = var.endpoint
  }
}

variable "endpoint" {
  type = string
}

variable "name" {
  type    = string
  default = "a.txt"
}

variable "contents" {
  type    = string
  default = "one"
}

resource "aws_cloudcontrolapi_resource" "file" {
  type_name = "Formwork::Examples::File"
  desired_state = jsonencode({
    Name     = var.name
    Contents = var.contents
  })
}

resource "aws_cloudcontrolapi_resource" "archive" {
  type_name = "Formwork::Examples::Archive"
  desired_state = jsonencode({
    Files = [{ Name = "a.txt", Contents = var.contents }]
    Delay = 1
  })
}

data "aws_cloudcontrolapi_resource" "file" {
  type_name  = "Formwork::Examples::File"
  identifier = aws_cloudcontrolapi_resource.file.id
}

output "read" {
  value = jsondecode(data.aws_cloudcontrolapi_resource.file.properties)
}
